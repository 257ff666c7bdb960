// Shows painted planes, and left of a line the picture itself.

struct View {
  size: vec2<i32>,
  luma_words: i32,
  chroma_words: i32,
  split_px: f32,  // left of it is the picture; 0 shows only the painting
  red: vec4f,  // weights of luma, Cb and Cr, and an offset, for values of 0..255; results are 0..1
  green: vec4f,
  blue: vec4f,
}

@group(0) @binding(0) var<uniform> view: View;
@group(0) @binding(1) var<storage, read> painted: array<u32>;
@group(0) @binding(2) var picture: texture_2d<f32>;

fn byte(word: i32, column: i32) -> f32 {
  return f32((painted[word + column / 4] >> (u32(column & 3) * 8u)) & 255u);
}

fn chroma(begin: i32, at: vec2f) -> f32 {
  let last = view.size / 2 - 1;
  let place = clamp(at / 2.0 - 0.5, vec2f(0.0), vec2f(last));
  let first = vec2i(place);
  let next = min(first + 1, last);
  let share = place - vec2f(first);
  let above = begin + first.y * view.chroma_words;
  let below = begin + next.y * view.chroma_words;
  return mix(
    mix(byte(above, first.x), byte(above, next.x), share.x),
    mix(byte(below, first.x), byte(below, next.x), share.x),
    share.y);
}

@vertex
fn corner(@builtin(vertex_index) index: u32) -> @builtin(position) vec4f {
  return vec4f(f32(index & 1u) * 4.0 - 1.0, f32(index >> 1u) * 4.0 - 1.0, 0.0, 1.0);
}

@fragment
fn pixel(@builtin(position) position: vec4f) -> @location(0) vec4f {
  let at = min(vec2i(position.xy), view.size - 1);
  if (position.x < view.split_px) {
    return vec4f(textureLoad(picture, at, 0).rgb, 1.0);
  }
  let chroma_at = view.size.y * view.luma_words;
  let plane = (view.size.y / 2) * view.chroma_words;
  let yuv = vec4f(
    byte(at.y * view.luma_words, at.x),
    chroma(chroma_at, position.xy),
    chroma(chroma_at + plane, position.xy),
    1.0);
  return vec4f(dot(view.red, yuv), dot(view.green, yuv), dot(view.blue, yuv), 1.0);
}
