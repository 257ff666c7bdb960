// A picture as planes of bytes, at its own size or reduced without aliasing. One invocation makes
// 8x2 pixels of luma, and the word of Cb and of Cr that belongs to them.

struct Shape {
  source: vec2<i32>,
  size: vec2<i32>,
  luma_at: i32,  // in words, like all places
  luma_words: i32,
  chroma_at: i32,
  chroma_words: i32,
  luma: vec4f,  // weights of red, green and blue, and an offset; all for values of 0..255
  cb: vec4f,
  cr: vec4f,
}

@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var picture: texture_2d<f32>;
@group(0) @binding(2) var<storage, read_write> planes: array<u32>;

// Values are means, weighted by a triangle that is as wide as two new pixels
fn color_at(at: vec2i) -> vec4f {
  let last = shape.source - 1;
  if (all(shape.source == shape.size)) {
    return vec4f(255.0 * textureLoad(picture, min(at, last), 0).rgb, 1.0);
  }
  let ratio = max(vec2f(shape.source) / vec2f(shape.size), vec2f(1.0));
  let center = (vec2f(at) + 0.5) * vec2f(shape.source) / vec2f(shape.size);
  let first = max(vec2i(floor(center - ratio)), vec2i(0));
  let end = min(vec2i(ceil(center + ratio)), last);
  var sum = vec4f(0.0);
  for (var y = first.y; y <= end.y; y++) {
    let down = max(0.0, 1.0 - abs(f32(y) + 0.5 - center.y) / ratio.y);
    for (var x = first.x; x <= end.x; x++) {
      let weight = down * max(0.0, 1.0 - abs(f32(x) + 0.5 - center.x) / ratio.x);
      sum += weight * vec4f(255.0 * textureLoad(picture, vec2i(x, y), 0).rgb, 1.0);
    }
  }
  return vec4f(sum.rgb / sum.a, 1.0);
}

fn code(value: f32) -> u32 {
  return u32(clamp(round(value), 0.0, 255.0));
}

@compute @workgroup_size(8, 8)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let at = vec2i(id.xy);
  if (at.x >= shape.chroma_words || 2 * at.y >= shape.size.y) {
    return;
  }
  var cb = 0u;
  var cr = 0u;
  for (var half = 0; half < 2; half++) {
    var upper = 0u;
    var lower = 0u;
    for (var pair = 0; pair < 2; pair++) {
      var mean = vec4f(0.0);
      for (var i = 0; i < 2; i++) {
        let x = min(8 * at.x + 4 * half + 2 * pair + i, shape.size.x - 1);
        let top = color_at(vec2i(x, 2 * at.y));
        let bottom = color_at(vec2i(x, 2 * at.y + 1));
        mean += 0.25 * (top + bottom);
        let shift = u32(2 * pair + i) * 8u;
        upper |= code(dot(shape.luma, top)) << shift;
        lower |= code(dot(shape.luma, bottom)) << shift;
      }
      let shift = u32(2 * half + pair) * 8u;
      cb |= code(dot(shape.cb, mean)) << shift;
      cr |= code(dot(shape.cr, mean)) << shift;
    }
    let column = 2 * at.x + half;
    if (column < shape.luma_words) {
      planes[shape.luma_at + 2 * at.y * shape.luma_words + column] = upper;
      planes[shape.luma_at + (2 * at.y + 1) * shape.luma_words + column] = lower;
    }
  }
  let chroma = shape.chroma_at + at.y * shape.chroma_words + at.x;
  planes[chroma] = cb;
  planes[chroma + (shape.size.y / 2) * shape.chroma_words] = cr;
}
