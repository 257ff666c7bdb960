// Means over boxes of 5x5 cells. Outside the cells lie their outermost values.

struct Shape {
  size: vec2<i32>,
}

@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> source: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> result: array<vec4f>;

@compute @workgroup_size(TILE_WIDTH, TILE_HEIGHT)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let at = vec2i(id.xy);
  let size = shape.size;
  if (at.x >= size.x || at.y >= size.y) {
    return;
  }
  var sum = vec4f(0.0);
  for (var down = -2; down <= 2; down++) {
    let row = clamp(at.y + down, 0, size.y - 1) * size.x;
    for (var across = -2; across <= 2; across++) {
      sum += source[row + clamp(at.x + across, 0, size.x - 1)];
    }
  }
  result[at.y * size.x + at.x] = sum / 25.0;
}
