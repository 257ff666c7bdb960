// How much grain each cell gets, from 0 (textured) to 4 (flat): see painting/grain.py.

struct Shape {
  size: vec2<i32>,
  limit1: i32,  // the greatest texture that gets one level of grain, two, three and four
  limit2: i32,
  limit3: i32,
  limit4: i32,
}

@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> cells: array<i32>;
@group(0) @binding(2) var<storage, read_write> result: array<i32>;

fn cell(x: i32, y: i32) -> i32 {
  return cells[y * shape.size.x + x];
}

fn limited(curvature: i32) -> i32 {
  return min((min(abs(curvature), 64) * 37) >> 5u, 64);
}

// Second differences down and across
fn texture_at(x: i32, y: i32) -> i32 {
  var sum = 0;
  if (shape.size.y >= 3) {
    let middle = clamp(y, 1, shape.size.y - 2);
    sum += limited(cell(x, middle - 1) - 2 * cell(x, middle) + cell(x, middle + 1));
  }
  if (shape.size.x >= 3) {
    let middle = clamp(x, 1, shape.size.x - 2);
    sum += limited(cell(middle - 1, y) - 2 * cell(middle, y) + cell(middle + 1, y));
  }
  return sum;
}

@compute @workgroup_size(TILE_WIDTH, TILE_HEIGHT)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let at = vec2i(id.xy);
  let last = shape.size - 1;
  if (at.x > last.x || at.y > last.y) {
    return;
  }
  var texture = 0;
  for (var down = -2; down <= 2; down++) {
    for (var across = -2; across <= 2; across++) {
      texture += texture_at(clamp(at.x + across, 0, last.x), clamp(at.y + down, 0, last.y));
    }
  }
  result[at.y * shape.size.x + at.x] =
    select(0, 1, texture <= shape.limit1) + select(0, 1, texture <= shape.limit2) +
    select(0, 1, texture <= shape.limit3) + select(0, 1, texture <= shape.limit4);
}
