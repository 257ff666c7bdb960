// Adds grain to the canvas's luma, as much as its cell gets. One invocation changes four pixels.
//
// Constants: SIDE of the tile of grain, in pixels; TILE_WIDTH, TILE_HEIGHT of the workgroup.

struct Shape {
  size: vec2<i32>,  // of the canvas's luma: words of a row, rows
  luma_at: i32,  // where it begins, in words
}

@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> levels: array<i32>;
@group(0) @binding(2) var<storage, read> tile: array<u32>;  // 16-bit numbers, in 256ths of a code for level 4
@group(0) @binding(3) var<storage, read_write> planes: array<u32>;

@compute @workgroup_size(TILE_WIDTH, TILE_HEIGHT)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let at = vec2i(id.xy);
  let size = shape.size;
  if (at.x >= size.x || at.y >= size.y) {
    return;
  }
  let level = levels[(at.y / 4) * size.x + at.x];
  if (level == 0) {
    return;
  }
  let word = planes[shape.luma_at + at.y * size.x + at.x];
  let begin = (at.y % SIDE) * SIDE + (4 * at.x) % SIDE;
  var grained = 0u;
  for (var i = 0; i < 4; i++) {
    let pair = tile[(begin + i) / 2];
    let grain = bitcast<i32>(select(pair << 16u, pair, (i & 1) == 1)) >> 16u;
    let code = i32((word >> (u32(i) * 8u)) & 255u) + ((grain * level + 128) >> 8u);
    grained |= u32(clamp(code, 0, 255)) << (u32(i) * 8u);
  }
  planes[shape.luma_at + at.y * size.x + at.x] = grained;
}
