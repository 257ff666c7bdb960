// The section of films and pictures: uploads, the look of one film, the queue.
import { Upload } from "./upload.js";
import { get, post, remove } from "./server.js";
import { text } from "./strings.js";
import { tile } from "./styles.js";

const REFRESH_MS = 1000;
const SETTLE_MS = 250; // after the last change of a slider, before previews are painted again
const ESTIMATE_MS = 1000; // after the last change
const PREVIEWS_MS = 8000; // how long an estimate waits for previews, which would slow it down
const LINES = [2160, 1440, 1080, 720, 480, 360];

export class Films {
  /** @param {import("./styles.js").Styles} styles */
  constructor(about, styles) {
    this.styles = styles;
    this.films = [];
    this.paintings = [];
    this.film = null;
    this.look = { style: about.style, strength: 1, stability: 0.5, colors: false, fast: false };
    this.place = Object.fromEntries(
      [...document.querySelectorAll("#films [id]")].map((element) => [element.id, element]),
    );
    this.#takeFiles();
    this.#listen();
    this.#listStyles();
    styles.addEventListener("change", () => this.#listStyles());
    this.refresh();
    setInterval(() => !document.getElementById("films").hidden && this.refresh(), REFRESH_MS);
    document.getElementById("tab-films").addEventListener("click", () => this.refresh());
  }

  async refresh() {
    const listed = await get("/films").catch(() => null);
    if (!listed) return;
    const former = JSON.stringify([this.films, this.paintings]);
    this.films = listed.films;
    this.paintings = listed.paintings.toReversed();
    if (former === JSON.stringify([this.films, this.paintings]) && this.isShown) return;
    this.isShown = true;
    this.#showFilms();
    this.#showPaintings();
  }

  #takeFiles() {
    const { drop, file } = this.place;
    file.addEventListener("change", () => {
      this.#upload([...file.files]);
      file.value = "";
    });
    const section = document.getElementById("films");
    section.addEventListener("dragover", (event) => {
      event.preventDefault();
      drop.classList.add("over");
    });
    section.addEventListener("dragleave", () => drop.classList.remove("over"));
    section.addEventListener("drop", (event) => {
      event.preventDefault();
      drop.classList.remove("over");
      this.#upload([...event.dataTransfer.files]);
    });
  }

  async #upload(files) {
    this.#complain("");
    for (const file of files) {
      const upload = new Upload(file, this.place.uploads);
      try {
        this.#open(await upload.send());
      } catch (error) {
        this.#complain(`${file.name}: ${error.message}`);
      }
      await this.refresh();
    }
  }

  #complain(message) {
    this.place["film-trouble"].textContent = message;
    this.place["film-trouble"].hidden = !message;
  }

  #listen() {
    const { place } = this;
    for (const [id, name] of [["film-strength", "strength"], ["film-stability", "stability"]]) {
      place[id].addEventListener("input", () => this.#change(name, Number(place[id].value)));
    }
    for (const [id, name] of [["film-colors", "colors"], ["film-fast", "fast"]]) {
      place[id].addEventListener("change", () => this.#change(name, place[id].checked));
    }
    place["film-at"].addEventListener("input", () => this.#change("at", Number(place["film-at"].value)));
    place["film-styles"].addEventListener("change", (event) => { this.look.style = event.target.value; this.#estimateSoon(); });
    place["film-lines"].addEventListener("change", () => this.#estimateSoon());
    place["film-list"].addEventListener("change", (event) => {
      this.#open(this.films.find((film) => film.id === event.target.value));
    });
    place["film-paint"].addEventListener("click", () => this.#paint());
    place["film-remove"].addEventListener("click", () => this.#removeFilm());
  }

  #change(name, value) {
    this.look[name] = value;
    this.#showLook();
    if (name !== "at") this.#estimateSoon();
    if (name === "stability") return;
    clearTimeout(this.settling);
    this.settling = setTimeout(() => this.#showPreviews(), SETTLE_MS);
  }

  #open(film) {
    if (!film) return;
    const { place } = this;
    this.film = film;
    place["film-panel"].hidden = false;
    place["film-name"].textContent = film.name;
    place["film-about"].textContent = text.about(film);
    place["at-field"].hidden = place["film-stability-field"].hidden = film.kind === "picture";
    place["film-at"].max = film.duration_s;
    this.look.at = film.duration_s / 2;
    place["film-at"].value = this.look.at;
    const lines = LINES.filter((each) => each < film.height);
    const own = `${text.ownLines} (${film.height})`;
    place["film-lines"].replaceChildren(new Option(own, ""), ...lines.map((each) => new Option(each, each)));
    this.#showLook();
    this.#showPreviews();
    this.#estimateSoon();
  }

  #listStyles() {
    const tiles = this.styles.all.map((style) => tile(style, "film-style"));
    this.place["film-styles"].replaceChildren(...tiles);
    for (const radio of this.place["film-styles"].querySelectorAll("input")) {
      radio.checked = radio.value === this.look.style;
    }
    if (this.film) this.#showPreviews();
  }

  #showLook() {
    const { look, place } = this;
    for (const [id, value] of [["film-strength", look.strength], ["film-stability", look.stability]]) {
      document.querySelector(`output[for="${id}"]`).textContent = text.percent(value);
    }
    document.querySelector('output[for="film-at"]').textContent = text.time(look.at);
    place["film-at"].setAttribute("aria-valuetext", text.time(look.at));
  }

  #showPreviews() {
    const shape = `${this.film.width} / ${this.film.height}`;
    for (const label of this.place["film-styles"].children) {
      const picture = label.querySelector("img");
      picture.style.aspectRatio = shape;
      picture.src = this.#preview(this.film, { ...this.look, style: label.querySelector("input").value });
    }
  }

  #preview(film, { style = "", strength = 1, colors = false, fast = false, at = film.duration_s / 2 }) {
    const query = new URLSearchParams({ style, strength, colors, fast, at: at.toFixed(2) });
    return `/films/${film.id}/preview?${query}`;
  }

  #showFilms() {
    const labels = this.films.toReversed().map((film) => {
      const label = document.createElement("label");
      const radio = Object.assign(document.createElement("input"), { type: "radio", name: "film", value: film.id });
      radio.checked = film.id === this.film?.id;
      const picture = Object.assign(document.createElement("img"), { alt: "", src: this.#preview(film, {}) });
      const words = Object.assign(document.createElement("span"), { textContent: film.name });
      words.append(Object.assign(document.createElement("small"), { textContent: text.about(film) }));
      label.append(picture, words, radio);
      return label;
    });
    const list = this.place["film-list"];
    if (list.dataset.ids === this.films.map((film) => film.id).join()) return;
    list.dataset.ids = this.films.map((film) => film.id).join();
    list.replaceChildren(...(labels.length ? labels : [small("p", text.noFilms)]));
  }

  #showPaintings() {
    const rows = this.paintings.map((painting) => this.#row(painting));
    const focused = document.activeElement?.dataset?.focus;
    this.place.paintings.replaceChildren(...(rows.length ? rows : [small("li", text.noPaintings)]));
    if (focused) this.place.paintings.querySelector(`[data-focus="${CSS.escape(focused)}"]`)?.focus();
  }

  #row(painting) {
    const film = this.films.find(({ id }) => id === painting.film);
    const item = document.createElement("li");
    const picture = Object.assign(document.createElement("img"), { alt: "" });
    if (painting.newest) {
      picture.src = `/paintings/${painting.id}/newest?${painting.newest}`;
    } else if (film) {
      const { style, strength, keep_colors: colors, tier } = painting.look;
      const at = film.duration_s / 2;
      picture.src = this.#preview(film, { style, strength, colors, fast: tier === "fast", at });
    }
    const name = Object.assign(document.createElement("span"), { className: "name", textContent: painting.name });
    const state = document.createElement("span");
    state.append(small("small", text.states[painting.state](painting)));
    for (const note of painting.notes) state.append(small("small", note));
    if (painting.state === "running") {
      const bar = Object.assign(document.createElement("progress"), { max: 1, value: painting.done });
      bar.setAttribute("aria-label", painting.name);
      state.append(bar);
    }
    const doing = Object.assign(document.createElement("div"), { className: "doing" });
    doing.append(...this.#doings(painting));
    item.append(picture, name, doing, state);
    return item;
  }

  #doings(painting) {
    const address = `/paintings/${painting.id}`;
    const button = (label, act) => {
      const made = Object.assign(document.createElement("button"), { type: "button", className: "quiet", textContent: label });
      made.dataset.focus = `${painting.id}${label}`;
      made.setAttribute("aria-label", `${label} ${painting.name}`);
      made.addEventListener("click", async () => {
        await act().catch((error) => this.#complain(error.message));
        await this.refresh();
      });
      return made;
    };
    if (painting.state === "done") {
      const link = Object.assign(document.createElement("a"), {
        className: "quiet", href: `${address}/file`, download: painting.name, textContent: text.download,
      });
      const show = Object.assign(document.createElement("a"), {
        className: "quiet", href: `${address}/file?view`, target: "_blank", textContent: text.show,
      });
      for (const each of [link, show]) each.setAttribute("aria-label", `${each.textContent} ${painting.name}`);
      return [show, link, button(text.remove, () => remove(address))];
    }
    if (["queued", "running"].includes(painting.state)) {
      return [button(text.cancel, () => post(`${address}/cancel`))];
    }
    return [button(text.retry, () => post(`${address}/again`)), button(text.remove, () => remove(address))];
  }

  /** Asks for time and size once the look has settled and its previews are painted. */
  #estimateSoon() {
    const place = this.place["film-estimate"];
    clearTimeout(this.estimating);
    place.textContent = "";
    if (this.film.kind === "picture") return;
    this.estimating = setTimeout(async () => {
      const film = this.film;
      if (!film) return;
      place.textContent = text.estimating;
      const pictures = [...this.place["film-styles"].querySelectorAll("img")].map((each) => each.decode());
      await Promise.race([Promise.allSettled(pictures), new Promise((done) => setTimeout(done, PREVIEWS_MS))]);
      const found = await post(`/films/${film.id}/estimate`, this.#wanted()).catch(() => null);
      if (film === this.film) place.textContent = found ? text.estimate(found) : "";
    }, ESTIMATE_MS);
  }

  #wanted() {
    return { ...this.look, lines: Number(this.place["film-lines"].value) || null };
  }

  async #paint() {
    await post(`/films/${this.film.id}/paint`, this.#wanted()).catch((error) => this.#complain(error.message));
    await this.refresh();
  }

  async #removeFilm() {
    await remove(`/films/${this.film.id}`).catch((error) => this.#complain(error.message));
    this.film = null;
    this.place["film-panel"].hidden = true;
    await this.refresh();
  }
}

function small(tag, words) {
  return Object.assign(document.createElement(tag), { className: "small", textContent: words });
}
