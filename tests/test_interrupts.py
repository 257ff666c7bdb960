from __future__ import annotations

import os
import signal
import subprocess
import sys
from _thread import interrupt_main
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest

from realtime_style.system import interrupts
from realtime_style.system.interrupts import Latch, deferred, held_back, interruptible

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Starts with the usual handlers, also under nohup; puts the former ones back after a test."""
    former = {number: signal.getsignal(number) for number in interrupts.SIGNALS}
    for number in interrupts.SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in former.items():
        signal.signal(number, handler)
    interrupts._came = False


@contextmanager
def not_interrupted() -> Iterator[None]:
    """Fails the test, where KeyboardInterrupt would end them all."""
    try:
        yield
    except KeyboardInterrupt:
        pytest.fail("it was interrupted")


@pytest.mark.parametrize(
    "module", ["realtime_style", "realtime_style.cli", "realtime_style.cli.app"]
)
def test_importing_installs_no_handler(module: str) -> None:
    code = (
        "import importlib, signal, sys\n"
        "before = [signal.getsignal(number) for number in signal.valid_signals()]\n"
        f"module = importlib.import_module('{module}')\n"
        "[getattr(module, name) for name in getattr(module, '__all__', ())]\n"
        "assert [signal.getsignal(number) for number in signal.valid_signals()] == before\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("number", interrupts.SIGNALS)
def test_every_signal_is_a_keyboard_interrupt_and_remembered(number: signal.Signals) -> None:
    interrupts.check()
    interrupts.install()
    assert not interrupts.came()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(number)
    assert interrupts.came()
    assert interrupts.exit_status() == 128 + number
    with pytest.raises(KeyboardInterrupt):  # also if a library swallowed the first
        interrupts.check()


def test_an_ignored_sigint_is_handled_but_an_ignored_sighup_stays_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    interrupts.install()
    with not_interrupted():
        signal.raise_signal(signal.SIGHUP)  # nohup
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_a_module_being_loaded_is_not_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "interrupting.py").write_text("import signal\nsignal.raise_signal(signal.SIGINT)\n")
    monkeypatch.syspath_prepend(tmp_path)
    interrupts.install()
    with not_interrupted():
        import interrupting  # type: ignore[import-not-found] # noqa: F401

    with pytest.raises(KeyboardInterrupt):
        interrupts.check()


def test_nothing_is_installed_from_another_thread() -> None:
    before = signal.getsignal(signal.SIGINT)
    threads = [Thread(target=do) for do in (interrupts.install, interrupts.ignore)]
    for thread in threads:
        thread.start()
        thread.join()
    assert signal.getsignal(signal.SIGINT) is before


def test_ignored_signals_do_nothing() -> None:
    interrupts.install()
    interrupts.ignore()
    for number in interrupts.SIGNALS:
        signal.raise_signal(number)
    assert not interrupts.came()


def test_a_deferred_signal_comes_at_the_end_of_the_block() -> None:
    steps = []

    def cut() -> None:
        with deferred():
            signal.raise_signal(signal.SIGINT)
            steps.append("whole")
        steps.append("after")

    with pytest.raises(KeyboardInterrupt):
        cut()
    assert steps == ["whole"]
    with pytest.raises(KeyboardInterrupt):  # the handler is back
        signal.raise_signal(signal.SIGINT)


def test_deferred_ignored_and_default_signals_stay_as_they_are() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with deferred():
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
        signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize("number", interrupts.SIGNALS)
def test_a_signal_that_is_only_remembered_has_its_status_too(number: signal.Signals) -> None:
    interrupts.install()
    with not_interrupted(), interrupts.remembered():
        signal.raise_signal(number)
    assert (interrupts.came(), interrupts.exit_status()) == (True, 128 + number)


@pytest.mark.parametrize("number", interrupts.SIGNALS)
def test_a_signal_held_back_sets_a_flag_and_a_second_one_interrupts(
    number: signal.Signals,
) -> None:
    before = signal.getsignal(number)
    with held_back() as asked:
        assert not asked()
        signal.raise_signal(number)
        assert asked()
        assert interrupts.exit_status() == 128 + number
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
    assert signal.getsignal(number) is before


def test_on_other_threads_there_is_nothing_to_hold_back() -> None:
    found = []

    def run() -> None:
        with held_back() as asked, deferred(), interrupts.default_action():
            found.append(asked())

    thread = Thread(target=run)
    thread.start()
    thread.join()
    assert found == [False]


def test_a_latch_keeps_ctrl_c_for_later() -> None:
    latch = Latch()
    latch.check()
    with latch.hold():
        raise KeyboardInterrupt
    assert latch.is_set
    with pytest.raises(KeyboardInterrupt):
        latch.check()


def test_long_work_is_stopped_by_ctrl_c_and_waited_for() -> None:
    asked, ended = Event(), Event()

    def work() -> None:
        interrupt_main()
        assert asked.wait(60)
        ended.set()

    with pytest.raises(KeyboardInterrupt):
        interruptible(work, asked.set)
    assert ended.is_set()


def test_an_error_of_long_work_is_the_callers() -> None:
    def fails() -> None:
        raise OSError("the GPU is gone")

    with pytest.raises(OSError, match="gone"):
        interruptible(fails, lambda: None)
    assert interruptible(lambda: 7, lambda: None) == 7


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)


def test_the_default_action_ends_the_process_without_a_message() -> None:
    done = run_python(
        "import signal\n"
        "from realtime_style.system import interrupts\n"
        "with interrupts.default_action():\n"
        "    signal.raise_signal(signal.SIGINT)\n"
    )
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


def test_the_process_ends_without_its_threads() -> None:
    done = run_python(  # which waits for at most a minute
        "import threading, time\n"
        "from realtime_style.system import interrupts\n"
        "threading.Thread(target=time.sleep, args=(1000,)).start()\n"
        "print('written', end='')\n"
        "interrupts.end_process(130)\n"
    )
    assert (done.returncode, done.stdout) == (130, "written"), done.stderr


def test_the_suite_passes_where_a_script_ignores_ctrl_c() -> None:
    """Background jobs of a script, and nohup, start with SIGINT ignored."""
    test = f"{__file__}::test_long_work_is_stopped_by_ctrl_c_and_waited_for"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", test],
        capture_output=True,
        text=True,
        timeout=120,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert done.returncode == 0, done.stdout
