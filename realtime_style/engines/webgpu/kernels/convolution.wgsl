// A convolution with bias, and ReLU, an addition or a pixel shuffle as it is stored.
//
// Channels lie in groups of four, a group after the other, each row by row. One invocation makes two
// groups of output channels at four rows of a column. Outside the source lie its outermost values.
//
// Constants: IN_GROUPS, KERNEL, STRIDE, RELU, ADD, SHUFFLE, TILE_WIDTH, TILE_HEIGHT.

struct Shape {
  in_size: vec2<i32>,
  out_size: vec2<i32>,  // before the pixel shuffle
  padding: i32,
  dilation: i32,
  weights_at: i32,
  biases_at: i32,  // in constants
}

@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> source: array<real4>;
// For each output group, tap and input channel: the weights of four output channels
@group(0) @binding(2) var<storage, read> weights: array<real4>;
@group(0) @binding(3) var<storage, read> constants: array<vec4f>;
@group(0) @binding(4) var<storage, read> added: array<real4>;
@group(0) @binding(5) var<storage, read_write> result: array<real4>;

fn weights_of(at: i32) -> mat4x4f {
  return mat4x4f(
    vec4f(weights[at]), vec4f(weights[at + 1]), vec4f(weights[at + 2]), vec4f(weights[at + 3]));
}

fn row_start(row: i32) -> i32 {
  return clamp(row, 0, shape.in_size.y - 1) * shape.in_size.x;
}

fn store(group: i32, x: i32, y: i32, sums: vec4f) {
  let size = shape.out_size;
  if (y >= size.y) {
    return;
  }
  var value = sums;
  if (RELU) {
    value = max(value, vec4f(0.0));
  }
  if (SHUFFLE) {  // the groups are ordered: four phases of four channels, then of the next four
    let phase = group % 4;
    let row = (group / 4) * size.y * 2 + 2 * y + phase / 2;
    result[row * 2 * size.x + 2 * x + phase % 2] = real4(value);
  } else {
    let at = (group * size.y + y) * size.x + x;
    if (ADD) {
      value += vec4f(added[at]);
    }
    result[at] = real4(value);
  }
}

@compute @workgroup_size(TILE_WIDTH, TILE_HEIGHT)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let x = i32(id.x);
  let y = i32(id.y) * 4;
  let group = i32(id.z) * 2;
  if (x >= shape.out_size.x || y >= shape.out_size.y) {
    return;
  }
  let plane = shape.in_size.x * shape.in_size.y;
  let dilation = shape.dilation;
  var a0 = constants[shape.biases_at + group];
  var b0 = constants[shape.biases_at + group + 1];
  var a1 = a0;
  var a2 = a0;
  var a3 = a0;
  var b1 = b0;
  var b2 = b0;
  var b3 = b0;
  var at = shape.weights_at + group * (KERNEL * KERNEL * IN_GROUPS * 4);
  for (var down = 0; down < KERNEL; down++) {
    let row = y * STRIDE + down * dilation - shape.padding;
    let row0 = row_start(row);
    let row1 = row_start(row + STRIDE);
    let row2 = row_start(row + 2 * STRIDE);
    let row3 = row_start(row + 3 * STRIDE);
    for (var across = 0; across < KERNEL; across++) {
      var column = clamp(x * STRIDE + across * dilation - shape.padding, 0, shape.in_size.x - 1);
      for (var i = 0; i < IN_GROUPS; i++) {
        let a = weights_of(at);
        let b = weights_of(at + KERNEL * KERNEL * IN_GROUPS * 4);
        let v0 = vec4f(source[row0 + column]);
        let v1 = vec4f(source[row1 + column]);
        let v2 = vec4f(source[row2 + column]);
        let v3 = vec4f(source[row3 + column]);
        a0 += a * v0;
        a1 += a * v1;
        a2 += a * v2;
        a3 += a * v3;
        b0 += b * v0;
        b1 += b * v1;
        b2 += b * v2;
        b3 += b * v3;
        column += plane;
        at += 4;
      }
    }
  }
  store(group, x, y, a0);
  store(group, x, y + 1, a1);
  store(group, x, y + 2, a2);
  store(group, x, y + 3, a3);
  store(group + 1, x, y, b0);
  store(group + 1, x, y + 1, b1);
  store(group + 1, x, y + 2, b2);
  store(group + 1, x, y + 3, b3);
}
