from realtime_style.live.ladder import SizeLadder

INTERVAL_S = 1 / 30


def run(ladder: SizeLadder, s_a_pixel: float, seconds: float, start_s: float = 0.0) -> float:
    """Paints as fast as it goes at a constant cost; the time at the end."""
    now_s = start_s
    while now_s < start_s + seconds:
        width, height = ladder.size
        paint_s = s_a_pixel * width * height
        now_s += max(paint_s, INTERVAL_S)
        ladder.observe(paint_s, now_s)
    return now_s


def test_sizes_have_the_cameras_shape_and_whole_multiples() -> None:
    for camera in ((1280, 720), (1920, 1080), (640, 480), (540, 960), (854, 480), (64, 48)):
        ladder = SizeLadder(*camera, INTERVAL_S)
        assert ladder.sizes[0] == camera
        for width, height in ladder.sizes[1:]:
            assert width % 8 == height % 8 == 0
            assert abs(width / height / (camera[0] / camera[1]) - 1) < 0.06
        assert ladder.sizes == sorted(ladder.sizes, reverse=True)
        assert ladder.size[0] * ladder.size[1] <= max(640 * 360, 1)


def test_it_settles_on_the_largest_size_that_can_be_kept_up() -> None:
    for s_a_pixel in (1e-9, 3e-8, 8e-8, 3e-7, 1e-5):
        ladder = SizeLadder(1280, 720, INTERVAL_S)
        run(ladder, s_a_pixel, 60)
        width, height = ladder.size
        at = ladder.sizes.index(ladder.size)
        assert s_a_pixel * width * height <= INTERVAL_S or at == len(ladder.sizes) - 1
        if at:
            above = ladder.sizes[at - 1]
            assert s_a_pixel * above[0] * above[1] > 0.7 * INTERVAL_S


def test_it_steps_down_within_half_a_second_and_up_again_after_a_while() -> None:
    ladder = SizeLadder(1280, 720, INTERVAL_S)
    now_s = run(ladder, 8e-8, 20)
    usual = ladder.size
    now_s = run(ladder, 3e-7, 0.9, now_s)  # another program takes the cores
    assert ladder.size < usual
    now_s = run(ladder, 8e-8, 1.5, now_s)
    assert ladder.size < usual
    run(ladder, 8e-8, 20, now_s)
    assert ladder.size == usual


def test_one_slow_frame_is_no_reason_to_step() -> None:
    ladder = SizeLadder(1280, 720, INTERVAL_S)
    now_s = run(ladder, 8e-8, 20)
    usual = ladder.size
    for _ in range(3):
        ladder.observe(1.0, now_s)
    assert ladder.size == usual


def test_it_does_not_flap_between_two_sizes() -> None:
    ladder = SizeLadder(1280, 720, INTERVAL_S)
    changes, now_s, former = 0, 0.0, ladder.size
    while now_s < 300:
        width, height = ladder.size
        # the larger size costs more a pixel than the smaller one lets expect: a trap
        paint_s = width * height * (1.3e-7 if width * height > 230_000 else 6e-8)
        now_s += max(paint_s, INTERVAL_S)
        ladder.observe(paint_s, now_s)
        changes += ladder.size != former
        former = ladder.size
    assert 2 <= changes <= 24
