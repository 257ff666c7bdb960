// The look: styles, sliders and switches. What the user wants is kept, and sent again to a new session.
import { listParts, showParts } from "./mask.js";
import { text } from "./strings.js";
import { tile } from "./styles.js";

const STORE = "realtime-style look";
const SEND_MS = 120; // how often a slider that is moved sends its value
const OURS_MS = 1500; // how long the server's values do not move a slider that the user has moved

export class Look {
  /**
   * @param {(name: string, values?: object) => void} command sends a command to the session
   * @param {object} first what is wanted as long as the user has chosen nothing
   */
  constructor(command, styles, first) {
    this.command = command;
    this.styles = styles;
    this.status = null;
    this.touched = {};
    this.timers = {};
    this.wanted = { ...first, ...stored() };
    this.inputs = Object.fromEntries(
      ["strength", "stability", "blend", "share", "only", "background", "colors", "fast"].map((id) => [id, document.getElementById(id)]),
    );
    this.#listStyles();
    styles.addEventListener("change", () => {
      this.#listStyles();
      this.#show();
    });
    this.#listen();
    this.#show();
  }

  /** The server's state, several times a second. */
  update(status) {
    const isFirst = this.status === null;
    this.status = status;
    if (isFirst) this.#restore();
    const values = {
      style: status.styles[status.chosen],
      strength: status.strength,
      stability: status.stability,
      blend: status.blended < 0 ? "" : status.styles[status.blended],
      share: status.blended < 0 ? this.wanted.share : status.share,
      only: status.only,
      background: status.only === "person" ? status.background : this.wanted.background,
      colors: status.keeps_colors,
      fast: status.tier === "fast",
    };
    for (const [name, value] of Object.entries(values)) {
      if (value !== undefined && performance.now() - (this.touched[name] ?? -OURS_MS) >= OURS_MS) {
        this.wanted[name] = value;
      }
    }
    this.#show();
  }

  /** Forgets the session: the next status is that of a new one, which gets what is wanted. */
  leave() {
    this.status = null;
    this.touched = {};
  }

  choose(name) {
    this.#want("style", name);
    this.#send("style");
  }

  step(by) {
    const names = this.styles.all.map((style) => style.name);
    const at = names.indexOf(this.wanted.style);
    this.choose(names[(at + by + names.length) % names.length]);
  }

  change(name, by, most) {
    const value = Math.round(Math.min(most, Math.max(0, Number(this.inputs[name].value) + by)) * 100) / 100;
    this.#want(name, value);
    this.#send(name);
  }

  nextBlend() {
    const names = ["", ...this.styles.all.map((style) => style.name)].filter((name) => name !== this.wanted.style);
    this.#want("blend", names[(names.indexOf(this.wanted.blend ?? "") + 1) % names.length]);
    this.#send("blend");
  }

  nextPart() {
    const parts = Object.keys(text.parts);
    this.#want("only", parts[(parts.indexOf(this.wanted.only ?? "") + 1) % parts.length]);
    this.#send("only");
  }

  toggle(name) {
    this.#want(name, !this.wanted[name]);
    this.#send(name);
  }

  #listStyles() {
    const { all } = this.styles;
    const tiles = all.map((style) => tile(style, "style", style.picture, (name) => this.styles.remove(name)));
    document.getElementById("styles").replaceChildren(...tiles);
    this.inputs.blend.replaceChildren(
      new Option(text.noBlend, ""), ...all.map(({ title, name }) => new Option(title || name, name)),
    );
  }

  #listen() {
    document.getElementById("styles").addEventListener("change", (event) => this.choose(event.target.value));
    for (const name of ["strength", "stability", "share"]) {
      this.inputs[name].addEventListener("input", () => {
        this.#want(name, Number(this.inputs[name].value));
        this.timers[name] ??= setTimeout(() => {
          this.timers[name] = undefined;
          this.#send(name);
        }, SEND_MS);
      });
    }
    this.inputs.blend.addEventListener("change", () => {
      this.#want("blend", this.inputs.blend.value);
      this.#send("blend");
    });
    listParts(this.inputs.only, this.inputs.background);
    for (const name of ["only", "background"]) {
      this.inputs[name].addEventListener("change", () => {
        this.#want(name, this.inputs[name].value);
        this.#send("only");
      });
    }
    for (const name of ["colors", "fast"]) {
      this.inputs[name].addEventListener("change", () => this.toggle(name));
    }
  }

  #want(name, value) {
    this.wanted[name] = value;
    this.touched[name] = performance.now();
    localStorage.setItem(STORE, JSON.stringify(this.wanted));
    this.#show();
  }

  #send(name) {
    const { status, wanted } = this;
    if (!status) return;
    const number = (style) => status.styles.indexOf(style);
    const senders = {
      style: () => number(wanted.style) >= 0 && this.command("ChooseStyle", { number: number(wanted.style) }),
      strength: () => this.command("SetStrength", { strength: wanted.strength }),
      stability: () => this.command("SetStability", { stability: wanted.stability }),
      blend: () => this.command("BlendIn", {
        number: Math.max(0, number(wanted.blend)), share: wanted.blend ? wanted.share ?? 0.5 : 0,
      }),
      share: () => wanted.blend && senders.blend(),
      only: () => this.command("PaintOnly", {
        only: wanted.only, background: wanted.only === "person" ? wanted.background || "original" : "original",
      }),
      colors: () => wanted.colors !== status.keeps_colors && this.command("ToggleColors"),
      fast: () => wanted.fast !== (status.tier === "fast") && this.command("NextTier"),
    };
    senders[name]();
  }

  #restore() {
    for (const name of ["style", "strength", "stability", "blend", "only", "colors", "fast"]) {
      if (this.wanted[name] === undefined) continue;
      this.touched[name] = performance.now();
      this.#send(name);
    }
  }

  #show() {
    const { wanted, inputs } = this;
    const radio = document.querySelector(`#styles input[value="${CSS.escape(wanted.style ?? "")}"]`);
    if (radio && !radio.checked) radio.checked = true;
    for (const [name, usual] of [["strength", 1], ["stability", 0.5], ["share", 0.5]]) {
      const value = wanted[name] ?? usual;
      if (Number(inputs[name].value) !== value) inputs[name].value = value;
      document.querySelector(`output[for="${name}"]`).textContent = text.percent(value);
    }
    inputs.blend.value = wanted.blend ?? "";
    document.getElementById("share-field").hidden = !wanted.blend;
    showParts(inputs.only, inputs.background, document.getElementById("background-field"), wanted);
    inputs.colors.checked = Boolean(wanted.colors);
    inputs.fast.checked = Boolean(wanted.fast);
  }
}

function stored() {
  try {
    return JSON.parse(localStorage.getItem(STORE)) ?? {};
  } catch {
    return {};
  }
}
