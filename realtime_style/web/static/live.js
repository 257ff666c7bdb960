// The live section: chooses a camera, keeps a connection, shows its state, reacts to buttons and keys.
import { listCaptures } from "./captures.js";
import { Connection, newestSession } from "./connection.js";
import { Look } from "./look.js";
import { Stage } from "./stage.js";
import { text } from "./strings.js";

const PAUSES_MS = [500, 1000, 2000, 5000]; // before trying to connect again
const FIGURES_MS = 1000;
const SCREEN = "screen";
const SESSION = "session:";
const WANTED = { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 } };
const REASONS = {
  NotAllowedError: text.noPermission, NotFoundError: text.noCamera, OverconstrainedError: text.noCamera,
  NotReadableError: text.inUse,
};

export class Live {
  /** @param {Styles} styles */
  constructor(about, styles) {
    this.about = about;
    this.styles = styles;
    this.stage = new Stage();
    this.look = new Look((name, values) => this.connection?.command(name, values), styles, {
      style: about.style, only: about.only, background: about.background,
    });
    this.connection = null;
    this.stream = null;
    this.microphone = null;
    this.status = null;
    this.tries = 0;
    this.isMirrored = true;
    this.source = document.getElementById("source");
    this.figures = document.getElementById("figures");
    this.actions = Object.fromEntries(
      [...document.querySelectorAll("[data-action]")].map((button) => [button.dataset.action, button]),
    );
    this.does = {
      stop: () => this.stop(),
      view: () => this.#press("view", this.stage.toggleSplit()),
      mirror: () => this.#mirror(!this.isMirrored),
      freeze: () => this.connection?.command("ToggleFreeze"),
      snapshot: () => this.connection?.command("Snapshot"),
      record: () => this.connection?.command("ToggleRecording"),
      sound: () => this.#toggleMicrophone(),
      full: () => this.stage.toggleFullScreen(),
    };
    for (const [name, button] of Object.entries(this.actions)) {
      button.addEventListener("click", () => this.does[name]());
    }
    document.getElementById("start-button").addEventListener("click", () => this.start());
    this.#takePictures();
    document.getElementById("copy-view").addEventListener("click", () => this.#copyView());
    navigator.mediaDevices?.addEventListener("devicechange", () => this.#listSources());
    addEventListener("pagehide", () => this.connection?.close());
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden && this.stream && !this.connection) this.#retry(0);
    });
    this.#mirror(true);
    this.#listSources();
    setInterval(() => this.#showFigures(), FIGURES_MS);
    listCaptures();
  }

  async start() {
    this.#busy(text.connecting);
    const choice = this.source.value;
    try {
      if (choice.startsWith(SESSION)) return await this.#connect(choice.slice(SESSION.length));
      this.stream = await openSource(choice);
    } catch (error) {
      return this.#fail(REASONS[error.name] ?? error.message);
    }
    this.#mirror(choice !== SCREEN);
    this.stream.getVideoTracks()[0].addEventListener("ended", () => this.stop());
    this.stage.camera.srcObject = this.stream;
    this.#listSources();
    this.tries = 0;
    return this.#connect();
  }

  stop() {
    clearTimeout(this.retrying);
    const connection = this.connection;
    this.connection = null;
    connection?.close();
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    this.microphone?.stop();
    this.stream = this.microphone = this.status = null;
    this.#press("sound", false);
    this.stage.camera.srcObject = this.stage.painted.srcObject = null;
    this.look.leave();
    this.#idle(text.startText);
    this.stage.showBadges({});
    this.stage.say("");
    listCaptures();
  }

  /** Does what a key means; returns whether it means something. */
  onKey(key) {
    const number = "1234567890".indexOf(key);
    const keys = {
      n: () => this.look.step(1), p: () => this.look.step(-1),
      "+": () => this.look.change("strength", 0.1, 1.5), "=": () => this.look.change("strength", 0.1, 1.5),
      "-": () => this.look.change("strength", -0.1, 1.5),
      b: () => this.look.nextBlend(),
      "]": () => this.look.change("share", 0.1, 1), "[": () => this.look.change("share", -0.1, 1),
      a: () => this.look.nextPart(), c: () => this.look.toggle("colors"), t: () => this.look.toggle("fast"),
      v: () => this.does.view(), m: () => this.does.mirror(), " ": () => this.does.freeze(),
      s: () => this.does.snapshot(), r: () => this.does.record(), f: () => this.does.full(),
      i: () => { this.figures.hidden = !this.figures.hidden; },
    };
    const style = this.styles.all[number];
    if (style) this.look.choose(style.name);
    else if (keys[key]) keys[key]();
    else return false;
    return true;
  }

  async #connect(watched = "") {
    const connection = new Connection(this.about.ice, this.about.bitrate_mbit);
    this.connection = connection;
    this.look.leave();
    connection.addEventListener("picture", ({ detail }) => { this.stage.painted.srcObject = detail; });
    connection.addEventListener("status", ({ detail }) => this.#update(detail));
    connection.addEventListener("refused", ({ detail }) => this.stage.say(detail));
    connection.addEventListener("end", ({ detail }) => this.#lost(connection, detail));
    try {
      if (watched) await connection.watch(watched, { controls: true });
      else await connection.send(this.stream);
      if (this.microphone) await connection.useMicrophone(this.microphone);
    } catch (error) {
      this.connection = null;
      connection.close();
      if (error.status || !this.stream) return this.#fail(error.message);
      return this.#retry(error.message);
    }
    return this.#busy(text.waiting);
  }

  #update(status) {
    if (!this.status) this.stage.state = "live";
    const before = this.status;
    this.status = status;
    this.tries = 0;
    this.look.update(status);
    const isRecording = status.recordings > 0;
    this.stage.showBadges({ isFrozen: status.is_frozen, isRecording });
    this.stage.freeze(status.is_frozen);
    this.stage.say(status.messages.map(withoutFolders).join("\n"));
    this.#press("freeze", status.is_frozen);
    this.#press("record", isRecording);
    for (const name of ["view", "freeze", "snapshot", "record"]) this.actions[name].disabled = false;
    this.actions.stop.hidden = false;
    const saved = status.messages.some((message) => message.startsWith("saved"));
    if (saved && String(before?.messages) !== String(status.messages)) listCaptures();
  }

  #lost(connection, why) {
    if (connection !== this.connection) return;
    this.connection = this.status = null;
    this.look.leave();
    if (why) this.#fail(why);
    else if (this.stream) this.#retry(text.lost);
    else this.stop();
  }

  #retry(why) {
    clearTimeout(this.retrying);
    this.#busy(why || text.reconnecting);
    const pause = PAUSES_MS[Math.min(this.tries, PAUSES_MS.length - 1)];
    this.tries += 1;
    this.retrying = setTimeout(() => this.stream && !this.connection && this.#connect(), pause);
  }

  #busy(message) {
    this.stage.state = "busy";
    this.#explain(message, false);
  }

  #idle(message, isBad = false) {
    this.stage.state = "idle";
    this.#explain(message, isBad);
    for (const name of ["view", "freeze", "snapshot", "record"]) this.actions[name].disabled = true;
    this.actions.stop.hidden = true;
    this.figures.textContent = "";
  }

  #fail(message) {
    this.stop();
    this.#idle(message || text.failed, true);
  }

  #explain(message, isBad) {
    const place = document.getElementById("start-text");
    place.textContent = message;
    place.classList.toggle("bad", isBad);
    if (isBad) place.setAttribute("role", "alert");
    else place.removeAttribute("role");
  }

  #press(name, on) {
    this.actions[name].setAttribute("aria-pressed", String(Boolean(on)));
  }

  #mirror(on) {
    this.isMirrored = on;
    this.stage.mirror(on);
    this.#press("mirror", on);
  }

  async #toggleMicrophone() {
    if (this.microphone) {
      this.microphone.stop();
      this.microphone = null;
    } else {
      try {
        this.microphone = (await navigator.mediaDevices.getUserMedia({ audio: true })).getAudioTracks()[0];
      } catch {
        this.stage.say(text.noMicrophone);
      }
    }
    await this.connection?.useMicrophone(this.microphone);
    this.#press("sound", this.microphone);
  }

  async #listSources() {
    const devices = (await navigator.mediaDevices?.enumerateDevices?.().catch(() => [])) ?? [];
    const cameras = devices.filter(({ kind, deviceId }) => kind === "videoinput" && deviceId);
    const former = this.source.value;
    const options = cameras.length
      ? cameras.map(({ label, deviceId }, i) => new Option(label || `${text.aCamera} ${i + 1}`, deviceId))
      : [new Option(text.anyCamera, "")];
    if (navigator.mediaDevices?.getDisplayMedia) options.push(new Option(text.screen, SCREEN));
    const session = await newestSession().catch(() => null);
    if (session && session !== this.connection?.id) options.push(new Option(text.session, SESSION + session));
    this.source.replaceChildren(...options);
    if ([...this.source.options].some((option) => option.value === former)) this.source.value = former;
  }

  #takePictures() {
    const picture = document.getElementById("picture");
    const section = document.getElementById("live");
    picture.addEventListener("change", () => {
      this.#addStyle(picture.files[0]);
      picture.value = "";
    });
    section.addEventListener("dragover", (event) => event.preventDefault());
    section.addEventListener("drop", (event) => {
      event.preventDefault();
      this.#addStyle(event.dataTransfer.files[0]);
    });
  }

  /** Makes a style of a picture, and paints in it; a session learns of new styles only at its start. */
  async #addStyle(file) {
    const trouble = document.getElementById("picture-trouble");
    trouble.hidden = true;
    if (!file) return;
    try {
      this.look.choose(await this.styles.add(file));
    } catch (error) {
      trouble.textContent = `${file.name}: ${error.message}`;
      trouble.hidden = false;
      return;
    }
    if (this.stream && this.connection) {
      const former = this.connection;
      this.connection = null;
      former.close();
      await this.#connect();
    }
  }

  async #showFigures() {
    if (!this.status || !this.connection) return;
    const { figures, engine, camera_size, painted_size } = this.status;
    const outside = await this.connection.outsideMs().catch(() => 0);
    this.figures.textContent = text.figures({
      fps: figures.fps.toFixed(0), delay: (figures.latency_p50_ms + outside).toFixed(0),
      dropped: figures.dropped, engine,
      camera: camera_size.join("×"), painted: painted_size.join("×"),
    });
  }

  async #copyView() {
    const { address } = await (await fetch("/view")).json();
    await navigator.clipboard?.writeText(address).catch(() => {});
    this.stage.say(text.copied);
  }
}

/** Shows the newest painting alone, for OBS; waits for one, and for the next one after it. */
export async function showAlone(about) {
  const painted = document.getElementById("painted");
  for (;;) {
    const id = await newestSession().catch(() => null);
    if (id) {
      const connection = new Connection(about.ice, about.bitrate_mbit);
      connection.addEventListener("picture", ({ detail }) => { painted.srcObject = detail; });
      const over = new Promise((done) => connection.addEventListener("end", done));
      await connection.watch(id, { controls: false }).then(() => over, () => {});
    }
    await new Promise((done) => setTimeout(done, 1000));
  }
}

async function openSource(choice) {
  if (!navigator.mediaDevices) throw new Error(text.notSecure);
  if (choice === SCREEN) return navigator.mediaDevices.getDisplayMedia({ video: { frameRate: 30 } });
  const device = choice ? { deviceId: { exact: choice } } : {};
  return navigator.mediaDevices.getUserMedia({ video: { ...WANTED, ...device } });
}

const withoutFolders = (message) => message.replace(/(?:\/|[A-Z]:\\)\S*[/\\]/g, "");
