// The page: a camera, a film or a picture, painted as long as the page is seen.

import { Gpu, Painter, Styles } from "./painter.js";

const element = (id) => document.getElementById(id);
const canvas = element("canvas");
const LINES = [1080, 720, 540, 360, 240];  // the sizes that films and cameras are painted at
const SLOW_MS = 45;
const MEASURED = 12;  // pictures after which the size is looked at

let styles, gpu, painter, context, format;
let source = null;  // a video, or an image
let style, lines = 720;
let times = [];
let split = 0.5;
let recorder = null;
let changed = true;

function say(text) {
  element("said").textContent = text;
  element("said").hidden = !text;
}

async function start() {
  styles = await Styles.load(document.baseURI);
  gpu = await Gpu.start(styles);
  format = navigator.gpu.getPreferredCanvasFormat();
  context = canvas.getContext("webgpu");
  context.configure({ device: gpu.device, format });
  painter = null;
  changed = true;
  gpu.lost.then(({ reason, message }) => {
    if (reason === "destroyed") return;
    say(`The GPU was lost (${message}); it is started again.`);
    setTimeout(() => start().then(() => say(""), fail), 1000);
  });
}

function fail(error) {
  say(error.message);
}

function sizeOfSource() {
  return source.videoWidth ? [source.videoWidth, source.videoHeight] : [source.width, source.height];
}

/** The size to paint at, of the source's shape: at most `lines` lines, sides even, never larger. */
function paintedSize() {
  const [width, height] = sizeOfSource();
  const scale = Math.min(1, lines / Math.min(width, height));
  return [width, height].map((side) => Math.max(8, 2 * Math.floor((side * scale) / 2)));
}

async function fit() {
  const size = paintedSize();
  if (painter && String(painter.layout.size) === String(size)) return;
  painter?.close();
  painter = await Painter.open(gpu, size, format);
  [canvas.width, canvas.height] = size;
  canvas.hidden = false;
  await setLook();
}

async function setLook() {
  const other = element("other").value;
  const share = other && other !== style ? element("share").value / 100 : 0;
  const shares = { [style]: 1 - share };
  if (share) shares[other] = share;
  const weights = await styles.weights(shares, element("strength").value / 100);
  painter?.setWeights(weights);
  changed = true;
}

async function scaled() {
  const [width, height] = painter.layout.size;
  if (String(sizeOfSource()) === String([width, height])) return source;
  return createImageBitmap(source, { resizeWidth: width, resizeHeight: height, resizeQuality: "high" });
}

/** Paints, again and again; a hidden page gets no animation frames, so it pauses. */
async function loop() {
  try {
    const isFilm = source instanceof HTMLVideoElement;
    const isNew = isFilm ? source.readyState >= 2 : changed;
    if (source && isNew) {
      const beganMs = performance.now();
      await fit();
      changed = false;
      const picture = await scaled();
      const isSplit = element("split").getAttribute("aria-pressed") === "true";
      await painter.paint(picture, context, isSplit ? split : 0);
      if (picture !== source) picture.close();
      if (isFilm) keepUp(performance.now() - beganMs);
    }
  } catch (error) {
    if (gpu && source) fail(error);
  }
  requestAnimationFrame(loop);
}

/** Paints smaller where pictures take too long. */
function keepUp(timeMs) {
  times.push(timeMs);
  if (times.length < MEASURED) return;
  const medianMs = times.sort((a, b) => a - b)[MEASURED >> 1];
  times = [];
  element("rate").textContent =
    `${painter.layout.size.join("x")}, ${medianMs.toFixed(0)} ms, ${gpu.hasHalf ? "float16" : "float32"}`;
  const smaller = LINES.find((each) => each < Math.min(lines, ...painter.layout.size));
  if (medianMs > SLOW_MS && smaller) lines = smaller;
}

function show(picture) {
  if (source instanceof HTMLVideoElement && source !== picture) {
    source.pause();
    source.srcObject?.getTracks().forEach((track) => track.stop());
  }
  source = picture;
  lines = picture instanceof HTMLVideoElement ? 720 : 1080;
  changed = true;
  times = [];
  say("");
  for (const id of ["snapshot", "record"]) element(id).disabled = false;
}

async function openCamera() {
  const video = document.createElement("video");
  video.muted = video.playsInline = true;
  video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { height: { ideal: 720 } } });
  await video.play();
  show(video);
}

async function openFile(file) {
  if (file.type.startsWith("image/")) return show(await createImageBitmap(file));
  const video = document.createElement("video");
  video.loop = video.playsInline = true;
  video.src = URL.createObjectURL(file);
  await video.play().catch(() => {
    throw new Error(`This browser cannot play ${file.name}.`);
  });
  return show(video);
}

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

async function snapshot() {
  await fit();
  // A canvas can only be read in the turn in which it was painted
  await painter.paint(await scaled(), context);
  canvas.toBlob((blob) => save(blob, `${style}.png`));
}

function record() {
  if (recorder) {
    recorder.stop();
    return;
  }
  const stream = canvas.captureStream();
  const sound = source.captureStream?.().getAudioTracks() ?? [];
  sound.forEach((track) => stream.addTrack(track));
  const type = ["video/mp4", "video/webm"].find((each) => MediaRecorder.isTypeSupported(each));
  const parts = [];
  recorder = new MediaRecorder(stream, { mimeType: type, videoBitsPerSecond: 8e6 });
  recorder.ondataavailable = ({ data }) => parts.push(data);
  recorder.onstop = () => {
    save(new Blob(parts, { type }), `${style}.${type.split("/")[1]}`);
    recorder = null;
    element("record").setAttribute("aria-pressed", "false");
  };
  recorder.start(1000);
  element("record").setAttribute("aria-pressed", "true");
}

function choose(name) {
  style = name;
  for (const button of element("styles").children) {
    button.setAttribute("aria-pressed", String(button.dataset.name === name));
  }
  setLook().catch(fail);
}

function prepareControls() {
  for (const { name, title, painter: by } of styles.about.styles) {
    const button = document.createElement("button");
    button.textContent = title;
    button.title = by;
    button.dataset.name = name;
    button.onclick = () => choose(name);
    element("styles").append(button);
    element("other").append(new Option(title, name));
  }
  choose(styles.about.styles[0].name);
  for (const id of ["strength", "other", "share"]) element(id).oninput = () => setLook().catch(fail);
  element("camera").onclick = () => openCamera().catch((error) => say(`No camera: ${error.message}`));
  element("open").onclick = () => element("file").click();
  element("file").onchange = ({ target }) => target.files[0] && openFile(target.files[0]).catch(fail);
  element("snapshot").onclick = () => snapshot().catch(fail);
  element("record").onclick = record;
  element("split").onclick = ({ target }) => {
    target.setAttribute("aria-pressed", String(target.getAttribute("aria-pressed") !== "true"));
    changed = true;
  };
  canvas.onpointermove = ({ offsetX }) => {
    split = offsetX / canvas.clientWidth;
    changed = true;
  };
  const stage = element("stage");
  stage.ondragover = (event) => {
    event.preventDefault();
    stage.classList.add("over");
  };
  stage.ondragleave = () => stage.classList.remove("over");
  stage.ondrop = (event) => {
    event.preventDefault();
    stage.classList.remove("over");
    const [file] = event.dataTransfer.files;
    if (file) openFile(file).catch(fail);
  };
  for (const id of ["camera", "open"]) element(id).disabled = false;
}

try {
  await start();
  prepareControls();
  say("Start the camera, or drop a film or picture here.");
  loop();
} catch (error) {
  fail(error);
}
