// One file on its way to the server, with its progress.
import { Refusal } from "./server.js";
import { text } from "./strings.js";

export class Upload {
  /** @param {File} file @param {HTMLElement} list where the progress is shown */
  constructor(file, list) {
    this.file = file;
    this.row = document.createElement("li");
    this.words = Object.assign(document.createElement("span"), { className: "small" });
    this.bar = Object.assign(document.createElement("progress"), { max: 1, value: 0 });
    this.bar.setAttribute("aria-label", file.name);
    this.row.append(this.words, " ", this.bar);
    list.append(this.row);
    this.#show(0);
  }

  /** Sends it; the server's description of the film, or a Refusal. fetch tells no progress. */
  send() {
    return new Promise((done, failed) => {
      const request = new XMLHttpRequest();
      request.open("POST", `/films?name=${encodeURIComponent(this.file.name)}`);
      request.setRequestHeader("Content-Type", "application/octet-stream");
      request.upload.addEventListener("progress", ({ loaded, total }) => this.#show(loaded / total));
      request.addEventListener("load", () => {
        if (request.status === 200) done(JSON.parse(request.responseText));
        else failed(new Refusal(request.responseText.trim(), request.status));
      });
      request.addEventListener("error", () => failed(new Refusal(text.failed, 0)));
      request.addEventListener("loadend", () => this.row.remove());
      request.send(this.file);
    });
  }

  #show(part) {
    this.words.textContent = text.uploading(this.file.name, part);
    this.bar.value = part;
  }
}
