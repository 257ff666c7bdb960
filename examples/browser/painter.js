// Paints pictures with a style on this device's GPU, by the kernels of realtime_style/engines/webgpu.
//
// `Styles` reads what browser_page.py wrote; `Painter` plans the passes for a size, as program.py does.

const GROUP = 4;
const ROWS = 4;
const KERNELS = [
  "grain_cells", "grain_levels", "grain", "unpack", "convolution", "cells", "smooth", "strokes", "painting",
];
const MEDIUM_LINES = 360;
const CANVAS_MULTIPLE = 8;
const FLOAT_BUFFERS = ["cells", "smoother", "means"];
const WIDE_BUFFERS = new Set([...FLOAT_BUFFERS, "grain cells", "grain levels"]);

const ceil = (value, multiple) => Math.ceil(value / multiple);

/** Width and height of the canvas of medium strokes, as canvas.py computes them. */
export function canvasSize([width, height]) {
  const ratio = Math.min(width, height) / MEDIUM_LINES;
  const side = (px) =>
    CANVAS_MULTIPLE *
    Math.min(Math.max(nearestEven(px / ratio / CANVAS_MULTIPLE), 1), Math.floor(px / CANVAS_MULTIPLE));
  return [side(width), side(height)];
}

/** The styles of a folder, and their weights. */
export class Styles {
  static async load(folder) {
    const fetched = async (name) => {
      const answer = await fetch(new URL(name, folder));
      if (!answer.ok) throw new Error(`${name} cannot be loaded (${answer.status})`);
      return answer;
    };
    const styles = new Styles();
    styles.fetched = fetched;
    styles.about = await (await fetched("styles.json")).json();
    const sources = [...KERNELS, "planes", "view"].map(async (name) => [
      name,
      await (await fetched(`${name}.wgsl`)).text(),
    ]);
    styles.sources = Object.fromEntries(await Promise.all(sources));
    styles.files = new Map();
    styles.grain = new Int16Array(await (await fetched(styles.about.grain.file)).arrayBuffer());
    return styles;
  }

  async file(name) {
    if (!this.files.has(name)) {
      const { file } = this.about.styles.find((style) => style.name === name);
      const bytes = this.fetched(file).then((answer) => answer.arrayBuffer());
      this.files.set(name, bytes.then((data) => this.read(data)));
    }
    return this.files.get(name);
  }

  read(data) {
    const count = this.about.kernels * GROUP;
    const halves = new Uint16Array(data, 0, count);
    return {
      kernels: Float32Array.from(halves, floatOfHalf),
      constants: new Float32Array(data.slice(count * 2)),
    };
  }

  /** Weights of a look: {name: share} of styles, whose shares sum to 1, and a strength of 0..1. */
  async weights(shares, strength = 1) {
    const sums = {
      strength,
      kernels: new Float32Array(this.about.kernels * GROUP),
      constants: new Float32Array(this.about.constants * GROUP),
    };
    for (const [name, share] of Object.entries(shares)) {
      const style = await this.file(name);
      for (const part of ["kernels", "constants"]) {
        style[part].forEach((value, i) => (sums[part][i] += share * value));
      }
    }
    for (const part of ["kernels", "constants"]) {  // at strength 0 these values are `without`
      for (const [begin, without] of this.about.strength[part]) {
        without.forEach((value, i) => {
          sums[part][begin + i] = strength * sums[part][begin + i] + (1 - strength) * value;
        });
      }
    }
    return sums;
  }
}

function floatOfHalf(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -14 * (fraction / 1024));
}

const float = new Float32Array(1);
const floatBits = new Uint32Array(float.buffer);

/** The nearest half-precision number, ties to even; for values below 65504. */
export function halfOfFloat(value) {
  float[0] = value;
  const bits = floatBits[0];
  const sign = (bits >>> 16) & 0x8000;
  const exponent = ((bits >>> 23) & 255) - 112;
  if (exponent <= 0) return sign | nearestEven(Math.abs(value) * 2 ** 24);
  const rounded = nearestEven((bits & 0x7fffff) / 8192);
  return sign | (exponent * 1024 + rounded);  // a carry makes the exponent larger, as it should
}

function nearestEven(value) {
  const below = Math.floor(value);
  const rest = value - below;
  return rest > 0.5 || (rest === 0.5 && below % 2) ? below + 1 : below;
}

/** The passes for pictures of one size; see program.py. */
export function programOf(about, [width, height], tile = [16, 4]) {
  const [canvasWidth, canvasHeight] = canvasSize([width, height]);
  const lumaWords = ceil(width, 4);
  const chromaWords = ceil(width, 8);
  const chromaAt = height * lumaWords;
  const canvasAt = chromaAt + height * chromaWords;
  const layout = { size: [width, height], canvas: [canvasWidth, canvasHeight], lumaWords, chromaWords };
  Object.assign(layout, { chromaAt, canvasAt, words: canvasAt + (canvasWidth * canvasHeight * 3) / 8 });
  const passes = [];
  const values = {};
  const tiled = ([x, y]) => ({ TILE_WIDTH: x, TILE_HEIGHT: y });

  const each = (kernel, shape, [x, y], buffers, constants = {}) =>
    passes.push({
      kernel, constants: { ...constants, ...tiled([8, 8]) }, shape, buffers, workgroups: [ceil(x, 8), ceil(y, 8), 1],
    });

  const convolution = (name, source, result, size, { relu = false, added = "", shuffle = false } = {}) => {
    const layer = about.layers[name];
    const reach = layer.dilation * (layer.kernel - 1);
    const [x, y] = size.map((s) => Math.floor((s + 2 * layer.padding - reach - 1) / layer.stride) + 1);
    const groups = shuffle ? ceil(layer.outputs, GROUP * GROUP) * 2 : ceil(layer.outputs, 2 * GROUP);
    passes.push({
      kernel: "convolution",
      constants: {
        IN_GROUPS: ceil(layer.inputs, GROUP), KERNEL: layer.kernel, STRIDE: layer.stride,
        RELU: relu, ADD: Boolean(added), SHUFFLE: shuffle, ...tiled(tile),
      },
      shape: [...size, x, y, layer.padding, layer.dilation, layer.weights_at, layer.biases_at],
      buffers: [source, "kernels", "constants", added || source, result],
      workgroups: [ceil(x, tile[0]), ceil(y, ROWS * tile[1]), groups],
    });
    values[result] = 2 * GROUP * groups * x * y;
    return shuffle ? [2 * x, 2 * y] : [x, y];
  };

  const { side, limits } = about.grain;
  const grained = [canvasWidth / 4, canvasHeight / 4];
  values["grain cells"] = values["grain levels"] = grained[0] * grained[1];
  each("grain_cells", [...grained, canvasAt], grained, ["planes", "grain cells"]);
  each("grain_levels", [...grained, ...limits], grained, ["grain cells", "grain levels"]);
  const words = [canvasWidth / 4, canvasHeight];
  each("grain", [...words, canvasAt], words, ["grain levels", "grain tile", "planes"], { SIDE: side });
  const half = [canvasWidth / 2, canvasHeight / 2];
  const area = half[0] * half[1];
  const canvasChroma = 4 * canvasAt + canvasWidth * canvasHeight;
  each("unpack", [...half, 4 * canvasAt, canvasChroma, about.center_at], half, ["planes", "constants", "small"]);
  values.small = 2 * GROUP * area;
  let size = convolution("stem", "small", "stem", half, { relu: true });
  size = convolution("down", "stem", "trunk", size, { relu: true });
  let trunk = "trunk";
  for (let block = 0; block < about.blocks; block++) {
    const [name, between, after] = [`block ${block}`, `between ${block}`, `trunk ${block}`];
    const inner = convolution(`${name} first`, trunk, between, size, { relu: true });
    convolution(`${name} second`, between, after, inner, { added: trunk });
    trunk = after;
  }
  size = convolution("up", trunk, "up", size, { relu: true, shuffle: true });
  convolution("head", "up", "edges", size);
  const cells = half.map((side) => side / 4);
  each("cells", cells, cells, ["edges", "cells"]);
  each("smooth", cells, cells, ["cells", "smoother"]);
  each("smooth", cells, cells, ["smoother", "means"]);
  for (const name of FLOAT_BUFFERS) values[name] = GROUP * cells[0] * cells[1];
  each("strokes", half, half, ["edges", "means", "strokes"]);
  values.strokes = 6 * area;
  passes.push({
    kernel: "painting",
    constants: {
      RECOLOR_GROUPS: about.recolor_groups, RANGE_GROUPS: about.range_groups,
      MAX_GROUPS: Math.max(about.recolor_groups, about.range_groups), ...tiled(tile),
    },
    shape: [
      width / 2, height / 2, ...half, lumaWords, chromaWords, about.center_at, about.recolor_at, about.range_at,
    ],
    buffers: ["planes", "strokes", "constants", "painted"],
    workgroups: [ceil(lumaWords, tile[0]), ceil(height / 2, tile[1]), 1],
  });
  return { passes, values, layout };
}

/** Which of a few buffers each buffer between passes uses; see program.py. */
function sharedBuffers({ passes, values }) {
  const last = {};
  passes.forEach((pass, i) => pass.buffers.forEach((name) => (last[name] = i)));
  const free = [];
  const used = {};
  let count = 0;
  passes.forEach((pass, i) => {
    const made = pass.buffers.at(-1);
    if (made in values) used[made] = free.length ? free.pop() : count++;
    for (const name of new Set(pass.buffers)) {
      if (name in values && last[name] === i) free.push(used[name]);
    }
  });
  return used;
}

/** A started GPU with its compiled kernels. */
export class Gpu {
  static async start(styles) {
    if (!navigator.gpu) {
      throw new Error(
        "This browser has no WebGPU. Take a current Chrome or Edge, Safari 26 or Firefox 141, on https or localhost.",
      );
    }
    const adapter = await navigator.gpu.requestAdapter({ powerPreference: "high-performance" });
    if (!adapter) throw new Error("The browser finds no GPU that WebGPU can use. Look for WebGPU at chrome://gpu.");
    const gpu = new Gpu();
    gpu.hasHalf = adapter.features.has("shader-f16");
    const { maxBufferSize, maxStorageBufferBindingSize } = adapter.limits;
    gpu.device = await adapter.requestDevice({
      requiredFeatures: gpu.hasHalf ? ["shader-f16"] : [],
      requiredLimits: { maxBufferSize, maxStorageBufferBindingSize },
    });
    gpu.name = [adapter.info?.vendor, adapter.info?.architecture].filter(Boolean).join(" ") || "GPU";
    gpu.lost = gpu.device.lost;
    gpu.styles = styles;
    gpu.pipelines = new Map();
    return gpu;
  }

  /** WGSL of a pass: constants and the type of values, then the kernel; see device.py. */
  source(kernel, constants) {
    const real = this.hasHalf ? "f16" : "f32";
    const head = this.hasHalf ? ["enable f16;"] : [];
    head.push(`alias real = ${real};`, `alias real4 = vec4<${real}>;`);
    for (const [name, value] of Object.entries(constants)) {
      head.push(`const ${name}: ${typeof value === "boolean" ? "bool" : "i32"} = ${value};`);
    }
    return [...head, this.styles.sources[kernel]].join("\n");
  }

  async pipeline({ kernel, constants }) {
    const key = JSON.stringify([kernel, constants]);
    if (!this.pipelines.has(key)) {
      const module = this.device.createShaderModule({ code: this.source(kernel, constants) });
      const compute = { module, entryPoint: "main" };
      this.pipelines.set(key, this.device.createComputePipelineAsync({ layout: "auto", compute }));
    }
    return this.pipelines.get(key);
  }

  buffer(bytes, usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC) {
    return this.device.createBuffer({ size: Math.ceil(bytes / 16) * 16, usage });
  }

  uniform(bytes) {
    return this.buffer(bytes, GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST);
  }

  typed(values) {
    return this.hasHalf ? Uint16Array.from(values, halfOfFloat) : values;
  }
}

/** Paints pictures of one size. */
export class Painter {
  /** `format` is that of the canvas that shows the paintings; without it, none is shown. */
  static async open(gpu, size, format) {
    try {
      return await Painter.planned(gpu, size, format);
    } catch (error) {
      if (!gpu.hasHalf) throw error;
      gpu.hasHalf = false;  // a driver whose float16 does not compile
      gpu.pipelines.clear();
      return Painter.planned(gpu, size, format);
    }
  }

  static async planned(gpu, size, format) {
    const painter = new Painter();
    const { device, styles } = gpu;
    const { passes, values, layout } = programOf(styles.about, size);
    Object.assign(painter, { gpu, layout });
    const shared = sharedBuffers({ passes, values });
    const bytes = [];
    for (const [name, number] of Object.entries(shared)) {
      const each = gpu.hasHalf && !WIDE_BUFFERS.has(name) ? 2 : 4;
      bytes[number] = Math.max(bytes[number] ?? 0, values[name] * each);
    }
    const made = bytes.map((count) => gpu.buffer(count));
    const buffers = Object.fromEntries(Object.entries(shared).map(([name, i]) => [name, made[i]]));
    painter.buffers = Object.assign(buffers, {
      planes: gpu.buffer(4 * layout.words),
      painted: gpu.buffer(4 * layout.canvasAt),
      kernels: gpu.buffer(styles.about.kernels * GROUP * (gpu.hasHalf ? 2 : 4)),
      constants: gpu.buffer(styles.about.constants * GROUP * 4),
      "grain tile": gpu.buffer(styles.grain.byteLength),
    });
    painter.passes = await Promise.all(passes.map((pass) => painter.compiled(pass)));
    painter.texture = device.createTexture({
      size, format: "rgba8unorm",
      usage: GPUTextureUsage.TEXTURE_BINDING | GPUTextureUsage.COPY_DST | GPUTextureUsage.RENDER_ATTACHMENT,
    });
    await painter.prepareEnds(format);
    return painter;
  }

  async compiled(pass) {
    const pipeline = await this.gpu.pipeline(pass);
    const uniform = this.gpu.uniform(64);
    this.gpu.device.queue.writeBuffer(uniform, 0, new Int32Array(pass.shape));
    const resources = [uniform, ...pass.buffers.map((name) => this.buffers[name])];
    return { pipeline, bindGroup: this.bound(pipeline, resources.map((buffer) => ({ buffer }))), workgroups: pass.workgroups };
  }

  bound(pipeline, resources) {
    const entries = resources.map((resource, binding) => ({ binding, resource }));
    return this.gpu.device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries });
  }

  /** The passes from the picture to planes, and from planes to what is shown. */
  async prepareEnds(format) {
    const { gpu, layout, buffers } = this;
    const { device, styles } = gpu;
    const { luma, cb, cr, red, green, blue } = styles.about.color;
    const view = this.texture.createView();
    const planes = await gpu.pipeline({ kernel: "planes", constants: {} });
    const canvasChroma = layout.canvasAt + (layout.canvas[0] * layout.canvas[1]) / 4;
    const ends = [
      [layout.size, 0, layout.lumaWords, layout.chromaAt, layout.chromaWords],
      [layout.canvas, layout.canvasAt, layout.canvas[0] / 4, canvasChroma, layout.canvas[0] / 8],
    ];
    const first = ends.map(([size, ...places]) => {
      const uniform = gpu.uniform(80);
      device.queue.writeBuffer(uniform, 0, new Int32Array([...layout.size, ...size, ...places]));
      device.queue.writeBuffer(uniform, 32, new Float32Array([...luma, ...cb, ...cr]));
      const bindGroup = this.bound(planes, [{ buffer: uniform }, view, { buffer: buffers.planes }]);
      return { pipeline: planes, bindGroup, workgroups: [ceil(ceil(size[0], 8), 8), ceil(size[1] / 2, 8), 1] };
    });
    this.passes = [...first, ...this.passes];
    if (!format) return;
    const module = device.createShaderModule({ code: styles.sources.view });
    this.shown = await device.createRenderPipelineAsync({
      layout: "auto",
      vertex: { module, entryPoint: "corner" },
      fragment: { module, entryPoint: "pixel", targets: [{ format }] },
    });
    this.view = gpu.uniform(80);
    device.queue.writeBuffer(this.view, 0, new Int32Array([...layout.size, layout.lumaWords, layout.chromaWords]));
    device.queue.writeBuffer(this.view, 32, new Float32Array([...red, ...green, ...blue]));
    this.shownGroup = this.bound(this.shown, [{ buffer: this.view }, { buffer: buffers.painted }, view]);
  }

  /** Takes other weights, from `Styles.weights`; it costs nothing a picture. Grain is as strong as they are. */
  setWeights({ kernels, constants, strength }) {
    const grain = this.gpu.styles.grain.map((value) => nearestEven(value * strength));
    this.gpu.device.queue.writeBuffer(this.buffers["grain tile"], 0, grain);
    this.gpu.device.queue.writeBuffer(this.buffers.kernels, 0, this.gpu.typed(kernels));
    this.gpu.device.queue.writeBuffer(this.buffers.constants, 0, constants);
  }

  /** Paints a video, image or canvas of the painter's size; `context` shows it, split at 0..1. */
  paint(source, context, split = 0) {
    const { device } = this.gpu;
    device.queue.copyExternalImageToTexture({ source }, { texture: this.texture }, this.layout.size);
    const encoder = device.createCommandEncoder();
    this.encode(encoder);
    if (context) {
      device.queue.writeBuffer(this.view, 16, new Float32Array([split * this.layout.size[0]]));
      const attachment = { view: context.getCurrentTexture().createView(), loadOp: "clear", storeOp: "store" };
      const pass = encoder.beginRenderPass({ colorAttachments: [attachment] });
      pass.setPipeline(this.shown);
      pass.setBindGroup(0, this.shownGroup);
      pass.draw(3);
      pass.end();
    }
    device.queue.submit([encoder.finish()]);
    return device.queue.onSubmittedWorkDone();
  }

  encode(encoder) {
    const work = encoder.beginComputePass();
    for (const { pipeline, bindGroup, workgroups } of this.passes) {
      work.setPipeline(pipeline);
      work.setBindGroup(0, bindGroup);
      work.dispatchWorkgroups(...workgroups);
    }
    work.end();
  }

  /** The bytes of a buffer, such as "planes" or "painted". */
  async bytes(name) {
    const { device } = this.gpu;
    const source = this.buffers[name];
    const copy = device.createBuffer({ size: source.size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
    const encoder = device.createCommandEncoder();
    encoder.copyBufferToBuffer(source, 0, copy, 0, source.size);
    device.queue.submit([encoder.finish()]);
    await copy.mapAsync(GPUMapMode.READ);
    const bytes = new Uint8Array(copy.getMappedRange().slice(0));
    copy.destroy();
    return bytes;
  }

  close() {
    for (const buffer of Object.values(this.buffers)) buffer.destroy();
    this.texture.destroy();
  }
}
