// The list of snapshots and recordings.
import { get, remove } from "./server.js";
import { text } from "./strings.js";

export async function listCaptures() {
  const list = document.getElementById("captures");
  const files = await get("/captures").catch(() => []);
  if (!files.length) {
    const none = document.createElement("li");
    none.className = "small";
    none.textContent = text.noCaptures;
    list.replaceChildren(none);
    return;
  }
  list.replaceChildren(...files.map(row));
}

function row({ name, bytes }) {
  const address = `/captures/${encodeURIComponent(name)}`;
  const item = document.createElement("li");
  const link = Object.assign(document.createElement("a"), { href: address, download: name, textContent: name });
  const size = Object.assign(document.createElement("span"), { className: "small", textContent: text.size(bytes) });
  const button = Object.assign(document.createElement("button"), { type: "button", textContent: text.remove });
  button.setAttribute("aria-label", `${text.remove} ${name}`);
  button.addEventListener("click", async () => {
    await remove(address).catch(() => {});
    await listCaptures();
  });
  item.append(link, size, button);
  return item;
}
