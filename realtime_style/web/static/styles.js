// All styles: the included ones and the user's pictures.
import { get, Refusal, remove } from "./server.js";
import { text } from "./strings.js";

export class Styles extends EventTarget {
  constructor(included) {
    super();
    this.included = included.map((style) => ({ ...style, picture: `/styles/${style.name}.webp` }));
    this.pictures = [];
  }

  get all() {
    return [...this.included, ...this.pictures];
  }

  async refresh() {
    const names = await get("/styles").catch(() => []);
    this.pictures = names.map((name) => ({
      name, title: name, painter: text.yourPicture, picture: `/styles/${encodeURIComponent(name)}`, isOurs: true,
    }));
    this.dispatchEvent(new Event("change"));
  }

  /** Makes a style of a picture file; its name. */
  async add(file) {
    const response = await fetch(`/styles?name=${encodeURIComponent(file.name)}`, { method: "POST", body: file });
    if (!response.ok) throw new Refusal((await response.text()).trim(), response.status);
    const { name } = await response.json();
    await this.refresh();
    return name;
  }

  async remove(name) {
    await remove(`/styles/${encodeURIComponent(name)}`);
    await this.refresh();
  }
}

/** A tile to choose a style with: a radio button behind a picture and words. */
export function tile({ name, title, painter, isOurs }, group, picture, onRemove) {
  const label = document.createElement("label");
  const radio = Object.assign(document.createElement("input"), { type: "radio", name: group, value: name });
  const image = Object.assign(document.createElement("img"), { alt: "" });
  if (picture) image.src = picture;
  const words = Object.assign(document.createElement("span"), { textContent: title || name });
  words.append(Object.assign(document.createElement("small"), { textContent: painter }));
  label.append(image, words, radio);
  if (isOurs && onRemove) {
    const button = Object.assign(document.createElement("button"), { type: "button", className: "away", textContent: "×" });
    button.setAttribute("aria-label", `${text.remove} ${title}`);
    button.addEventListener("click", (event) => {
      event.preventDefault();
      onRemove(name);
    });
    label.append(button);
  }
  return label;
}
