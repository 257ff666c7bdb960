// Means of packed planes over cells of 4x4 positions, equal for all phases of luma.

struct Shape {
  size: vec2<i32>,  // of the cells
}

@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> source: array<real4>;
@group(0) @binding(2) var<storage, read_write> result: array<vec4f>;  // luma, Cb, Cr, 0

@compute @workgroup_size(TILE_WIDTH, TILE_HEIGHT)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let at = vec2i(id.xy);
  let size = shape.size;
  if (at.x >= size.x || at.y >= size.y) {
    return;
  }
  let width = 4 * size.x;
  let area = width * 4 * size.y;
  var luma = vec4f(0.0);
  var chroma = vec2f(0.0);
  for (var down = 0; down < 4; down++) {
    let row = (4 * at.y + down) * width + 4 * at.x;
    for (var across = 0; across < 4; across++) {
      luma += vec4f(source[row + across]);
      chroma += vec4f(source[area + row + across]).xy;
    }
  }
  let light = dot(luma, vec4f(0.25)) / 16.0;
  result[at.y * size.x + at.x] = vec4f(light, chroma / 16.0, 0.0);
}
