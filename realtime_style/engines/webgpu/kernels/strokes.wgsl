// Strokes: what the body has painted minus the means around, bilinear between cells. Unpacked to a
// plane of luma at the canvas's size, then Cb and Cr at half of it.

struct Shape {
  size: vec2<i32>,  // of packed planes of the canvas
}

@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> source: array<real4>;
@group(0) @binding(2) var<storage, read> cells: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> result: array<real>;

@compute @workgroup_size(TILE_WIDTH, TILE_HEIGHT)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let at = vec2i(id.xy);
  let size = shape.size;
  if (at.x >= size.x || at.y >= size.y) {
    return;
  }
  let last = size / 4 - 1;
  let place = clamp((vec2f(at) + 0.5) * 0.25 - 0.5, vec2f(0.0), vec2f(last));
  let first = vec2i(place);
  let next = min(first + 1, last);
  let share = place - vec2f(first);
  let row = first.y * (last.x + 1);
  let below = next.y * (last.x + 1);
  let mean = mix(
    mix(cells[row + first.x], cells[row + next.x], share.x),
    mix(cells[below + first.x], cells[below + next.x], share.x),
    share.y);

  let here = at.y * size.x + at.x;
  let area = size.x * size.y;
  let luma = vec4f(source[here]) - mean.x;
  let chroma = vec4f(source[area + here]).xy - mean.yz;
  let width = 2 * size.x;
  let corner = 2 * at.y * width + 2 * at.x;
  result[corner] = real(luma.x);
  result[corner + 1] = real(luma.y);
  result[corner + width] = real(luma.z);
  result[corner + width + 1] = real(luma.w);
  result[4 * area + here] = real(chroma.x);
  result[5 * area + here] = real(chroma.y);
}
