// The sum of the 16 luma pixels of each cell of 4x4 of the canvas, from which grain is measured.

struct Shape {
  size: vec2<i32>,  // in cells
  luma_at: i32,  // where the canvas begins, in words; a cell's row is a word
}

@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> planes: array<u32>;
@group(0) @binding(2) var<storage, read_write> result: array<i32>;

@compute @workgroup_size(TILE_WIDTH, TILE_HEIGHT)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let at = vec2i(id.xy);
  let size = shape.size;
  if (at.x >= size.x || at.y >= size.y) {
    return;
  }
  var sum = 0u;
  for (var row = 0; row < 4; row++) {
    let word = planes[shape.luma_at + (4 * at.y + row) * size.x + at.x];
    sum += (word & 255u) + ((word >> 8u) & 255u) + ((word >> 16u) & 255u) + (word >> 24u);
  }
  result[at.y * size.x + at.x] = i32(sum);
}
