// The picture: painted, or beside the camera's with a divider; mirrored, frozen, full screen.
import { text } from "./strings.js";

const STEP = 2; // percent that an arrow key moves the divider

export class Stage {
  constructor() {
    this.element = document.getElementById("stage");
    this.painted = document.getElementById("painted");
    this.camera = document.getElementById("camera");
    this.divider = document.getElementById("divider");
    this.notice = document.getElementById("notice");
    this.badges = document.getElementById("badges");
    this.at = 50;
    this.divider.addEventListener("pointerdown", (event) => {
      this.divider.setPointerCapture(event.pointerId);
      event.preventDefault();
      this.divider.focus();
    });
    this.divider.addEventListener("pointermove", (event) => {
      if (this.divider.hasPointerCapture(event.pointerId)) this.#moveTo(event.clientX);
    });
    this.divider.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: -STEP, ArrowDown: -STEP, ArrowRight: STEP, ArrowUp: STEP }[event.key];
      const to = { Home: 0, End: 100 }[event.key] ?? (by && this.at + by);
      if (to === undefined) return;
      event.preventDefault();
      this.#divide(to);
    });
    this.#divide(this.at);
  }

  /** @param {"idle"|"busy"|"live"} state */
  set state(state) {
    this.element.dataset.state = state;
  }

  get isSplit() {
    return this.element.classList.contains("split");
  }

  toggleSplit() {
    return this.element.classList.toggle("split");
  }

  mirror(on) {
    this.element.classList.toggle("mirrored", on);
  }

  freeze(on) {
    if (on === this.camera.paused || !this.camera.srcObject) return;
    on ? this.camera.pause() : this.camera.play().catch(() => {});
  }

  toggleFullScreen() {
    document.fullscreenElement ? document.exitFullscreen() : this.element.requestFullscreen?.();
  }

  say(message) {
    if (this.notice.textContent !== message) this.notice.textContent = message;
  }

  showBadges({ isFrozen, isRecording }) {
    const wanted = [isFrozen && text.frozen, isRecording && text.recording].filter(Boolean);
    if (wanted.join() === [...this.badges.children].map((badge) => badge.textContent).join()) return;
    this.badges.replaceChildren(
      ...wanted.map((name) => {
        const badge = document.createElement("li");
        badge.textContent = name;
        badge.classList.toggle("on-air", name === text.recording);
        return badge;
      }),
    );
  }

  #moveTo(x) {
    const box = this.element.getBoundingClientRect();
    this.#divide(((x - box.left) / box.width) * 100);
  }

  #divide(at) {
    this.at = Math.min(100, Math.max(0, at));
    this.element.style.setProperty("--at", `${this.at}%`);
    this.divider.setAttribute("aria-valuenow", Math.round(this.at));
  }
}
