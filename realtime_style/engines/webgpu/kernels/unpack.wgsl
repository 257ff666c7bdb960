// Bytes of planes to packed planes: four phases of luma in one group, Cb and Cr in the next, each
// minus the centre. One invocation makes one position of both groups.

struct Shape {
  size: vec2<i32>,  // of packed planes, that is, of chroma
  luma_at: i32,  // where the planes begin, in bytes
  chroma_at: i32,
  center_at: i32,  // in constants
}

@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> planes: array<u32>;
@group(0) @binding(2) var<storage, read> constants: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> result: array<real4>;

fn byte(at: i32) -> f32 {
  return f32((planes[at >> 2u] >> (u32(at & 3) * 8u)) & 255u);
}

@compute @workgroup_size(TILE_WIDTH, TILE_HEIGHT)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let at = vec2i(id.xy);
  let size = shape.size;
  if (at.x >= size.x || at.y >= size.y) {
    return;
  }
  let width = 2 * size.x;
  let first = shape.luma_at + 2 * at.y * width + 2 * at.x;
  let luma = vec4f(byte(first), byte(first + 1), byte(first + width), byte(first + width + 1));
  let here = at.y * size.x + at.x;
  let area = size.x * size.y;
  let chroma = vec2f(byte(shape.chroma_at + here), byte(shape.chroma_at + area + here));
  result[here] = real4(luma - constants[shape.center_at]);
  result[area + here] = real4(vec4f(chroma - constants[shape.center_at + 1].xy, 0.0, 0.0));
}
