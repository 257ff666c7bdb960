// The painting at the picture's size: range(recolor(picture) + strokes), rounded to bytes.
//
// One invocation makes two packed positions side by side: 4x2 pixels of luma, and two of Cb and Cr.
// Rows of planes begin at multiples of 4 bytes. Chroma's words are joined from two invocations.
//
// Constants: RECOLOR_GROUPS, RANGE_GROUPS, MAX_GROUPS, TILE_WIDTH (even), TILE_HEIGHT.

struct Shape {
  size: vec2<i32>,  // of packed planes
  canvas: vec2<i32>,  // of packed planes of the canvas
  luma_words: i32,  // in a row
  chroma_words: i32,
  center_at: i32,  // in constants, like the next two
  recolor_at: i32,
  range_at: i32,
}

// Values at two positions
struct Colors {
  luma0: vec4f,
  luma1: vec4f,
  chroma0: vec2f,
  chroma1: vec2f,
}

@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> planes: array<u32>;
@group(0) @binding(2) var<storage, read> strokes: array<real>;
@group(0) @binding(3) var<storage, read> constants: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> painted: array<u32>;

var<workgroup> halves: array<u32, TILE_WIDTH * TILE_HEIGHT>;

fn first_bytes(word: u32) -> vec2f {
  return vec2f(f32(word & 255u), f32((word >> 8u) & 255u));
}

fn photo_at(at: vec2i) -> Colors {
  let top = planes[2 * at.y * shape.luma_words + at.x];
  let bottom = planes[(2 * at.y + 1) * shape.luma_words + at.x];
  let cb_at = 2 * shape.size.y * shape.luma_words + at.y * shape.chroma_words + at.x / 2;
  let shift = u32(at.x & 1) * 16u;
  let cb = first_bytes(planes[cb_at] >> shift);
  let cr = first_bytes(planes[cb_at + shape.size.y * shape.chroma_words] >> shift);
  let light = constants[shape.center_at];
  let color = constants[shape.center_at + 1].xy;
  return Colors(
    vec4f(first_bytes(top), first_bytes(bottom)) - light,
    vec4f(first_bytes(top >> 16u), first_bytes(bottom >> 16u)) - light,
    vec2f(cb.x, cr.x) - color,
    vec2f(cb.y, cr.y) - color);
}

// What a map of colours adds: three layers of 1x1, with ReLU between them
fn mapped(x: Colors, begin: i32, groups: i32) -> Colors {
  var hidden0: array<vec4f, MAX_GROUPS>;
  var hidden1: array<vec4f, MAX_GROUPS>;
  var at = begin;
  for (var g = 0; g < groups; g++) {
    let of_luma = mat4x4f(
      constants[at + 1], constants[at + 2], constants[at + 3], constants[at + 4]);
    let of_chroma = mat2x4f(constants[at + 5], constants[at + 6]);
    let bias = constants[at];
    hidden0[g] = max(bias + of_luma * x.luma0 + of_chroma * x.chroma0, vec4f(0.0));
    hidden1[g] = max(bias + of_luma * x.luma1 + of_chroma * x.chroma1, vec4f(0.0));
    at += 7;
  }
  let light = constants[at];
  let color = constants[at + 1].xy;
  var sum = Colors(light, light, color, color);
  at += 2;
  for (var g = 0; g < groups; g++) {
    var second0 = constants[at];
    var second1 = second0;
    at += 1;
    for (var i = 0; i < groups; i++) {
      let m = mat4x4f(constants[at], constants[at + 1], constants[at + 2], constants[at + 3]);
      second0 += m * hidden0[i];
      second1 += m * hidden1[i];
      at += 4;
    }
    second0 = max(second0, vec4f(0.0));
    second1 = max(second1, vec4f(0.0));
    let to_luma = mat4x4f(constants[at], constants[at + 1], constants[at + 2], constants[at + 3]);
    let cb = constants[at + 4];
    let cr = constants[at + 5];
    sum.luma0 += to_luma * second0;
    sum.luma1 += to_luma * second1;
    sum.chroma0 += vec2f(dot(cb, second0), dot(cr, second0));
    sum.chroma1 += vec2f(dot(cb, second1), dot(cr, second1));
    at += 6;
  }
  return sum;
}

// Weights of Keys' cubic kernel (a = -0.75) for the four values around a place between two values
fn cubic(t: f32) -> vec4f {
  let a = -0.75;
  let s = 1.0 - t;
  let near = ((a + 2.0) * t - (a + 3.0)) * t * t + 1.0;
  let next = ((a + 2.0) * s - (a + 3.0)) * s * s + 1.0;
  let before = ((a * (t + 1.0) - 5.0 * a) * (t + 1.0) + 8.0 * a) * (t + 1.0) - 4.0 * a;
  let after = ((a * (s + 1.0) - 5.0 * a) * (s + 1.0) + 8.0 * a) * (s + 1.0) - 4.0 * a;
  return vec4f(before, near, next, after);
}

struct Row {
  weights: vec4f,
  starts: vec4<i32>,
}

fn row_at(y: i32) -> Row {
  let lines = 2 * shape.canvas.y;
  let place = (f32(y) + 0.5) * (f32(lines) / f32(2 * shape.size.y)) - 0.5;
  let first = floor(place);
  let rows = clamp(vec4<i32>(i32(first)) + vec4<i32>(-1, 0, 1, 2), vec4<i32>(0), vec4<i32>(lines - 1));
  return Row(cubic(place - first), rows * (2 * shape.canvas.x));
}

fn luma_stroke(x: i32, row: Row) -> f32 {
  let width = 2 * shape.canvas.x;
  let place = (f32(x) + 0.5) * (f32(width) / f32(2 * shape.size.x)) - 0.5;
  let first = floor(place);
  let across = cubic(place - first);
  let c = clamp(vec4<i32>(i32(first)) + vec4<i32>(-1, 0, 1, 2), vec4<i32>(0), vec4<i32>(width - 1));
  let r = row.starts;
  let rows = vec4f(
    dot(across, vec4f(f32(strokes[r.x + c.x]), f32(strokes[r.x + c.y]), f32(strokes[r.x + c.z]), f32(strokes[r.x + c.w]))),
    dot(across, vec4f(f32(strokes[r.y + c.x]), f32(strokes[r.y + c.y]), f32(strokes[r.y + c.z]), f32(strokes[r.y + c.w]))),
    dot(across, vec4f(f32(strokes[r.z + c.x]), f32(strokes[r.z + c.y]), f32(strokes[r.z + c.z]), f32(strokes[r.z + c.w]))),
    dot(across, vec4f(f32(strokes[r.w + c.x]), f32(strokes[r.w + c.y]), f32(strokes[r.w + c.z]), f32(strokes[r.w + c.w]))));
  return dot(row.weights, rows);
}

fn chroma_stroke(at: vec2i) -> vec2f {
  let canvas = shape.canvas;
  let ratio = vec2f(canvas) / vec2f(shape.size);
  let place = clamp((vec2f(at) + 0.5) * ratio - 0.5, vec2f(0.0), vec2f(canvas - 1));
  let first = vec2i(place);
  let next = min(first + 1, canvas - 1);
  let share = place - vec2f(first);
  let area = canvas.x * canvas.y;
  let row = 4 * area + first.y * canvas.x;
  let below = 4 * area + next.y * canvas.x;
  let cb = vec4f(
    f32(strokes[row + first.x]), f32(strokes[row + next.x]),
    f32(strokes[below + first.x]), f32(strokes[below + next.x]));
  let cr = vec4f(
    f32(strokes[area + row + first.x]), f32(strokes[area + row + next.x]),
    f32(strokes[area + below + first.x]), f32(strokes[area + below + next.x]));
  let of_cb = mix(cb.xz, cb.yw, vec2f(share.x));
  let of_cr = mix(cr.xz, cr.yw, vec2f(share.x));
  return mix(vec2f(of_cb.x, of_cr.x), vec2f(of_cb.y, of_cr.y), vec2f(share.y));
}

fn strokes_at(at: vec2i) -> Colors {
  let x = 4 * at.x;
  let upper = row_at(2 * at.y);
  let lower = row_at(2 * at.y + 1);
  return Colors(
    vec4f(luma_stroke(x, upper), luma_stroke(x + 1, upper), luma_stroke(x, lower), luma_stroke(x + 1, lower)),
    vec4f(luma_stroke(x + 2, upper), luma_stroke(x + 3, upper), luma_stroke(x + 2, lower), luma_stroke(x + 3, lower)),
    chroma_stroke(vec2i(2 * at.x, at.y)),
    chroma_stroke(vec2i(2 * at.x + 1, at.y)));
}

fn sum_of(a: Colors, b: Colors) -> Colors {
  return Colors(
    a.luma0 + b.luma0, a.luma1 + b.luma1, a.chroma0 + b.chroma0, a.chroma1 + b.chroma1);
}

fn word_of(values: vec4f) -> u32 {
  let codes = vec4<u32>(clamp(round(values), vec4f(0.0), vec4f(255.0)));
  return codes.x | (codes.y << 8u) | (codes.z << 16u) | (codes.w << 24u);
}

@compute @workgroup_size(TILE_WIDTH, TILE_HEIGHT)
fn main(
  @builtin(global_invocation_id) id: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  // All invocations go to the end, because they meet at the barrier
  let here = vec2i(id.xy);
  let is_inside = here.x < shape.luma_words && here.y < shape.size.y;
  let at = min(here, vec2i(shape.luma_words, shape.size.y) - 1);
  let photo = photo_at(at);
  let colored = sum_of(photo, mapped(photo, shape.recolor_at, RECOLOR_GROUPS));
  let sums = sum_of(colored, strokes_at(at));
  let result = sum_of(sums, mapped(sums, shape.range_at, RANGE_GROUPS));

  let chroma = word_of(vec4f(result.chroma0.x, result.chroma1.x, result.chroma0.y, result.chroma1.y));
  halves[local] = chroma;
  workgroupBarrier();
  if (!is_inside) {
    return;
  }
  let luma_at = 2 * at.y * shape.luma_words + at.x;
  painted[luma_at] = word_of(vec4f(result.luma0.xy, result.luma1.xy));
  painted[luma_at + shape.luma_words] = word_of(vec4f(result.luma0.zw, result.luma1.zw));
  if ((at.x & 1) == 0) {
    let next = halves[local + 1u];
    let chroma_at = 2 * shape.size.y * shape.luma_words + at.y * shape.chroma_words + at.x / 2;
    painted[chroma_at] = (chroma & 0xffffu) | (next << 16u);
    painted[chroma_at + shape.size.y * shape.chroma_words] = (chroma >> 16u) | (next & 0xffff0000u);
  }
}
