// Requests to the server. Errors carry the server's sentence.
export class Refusal extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

async function asked(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Refusal("The server does not answer. It may have been stopped.", 0);
  }
  if (!response.ok) throw new Refusal((await response.text()).trim(), response.status);
  return response;
}

export const get = async (path) => (await asked(path)).json();
export const remove = (path) => asked(path, { method: "DELETE" });
export const post = async (path, value = {}) => {
  const response = await asked(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(value),
  });
  return response.status === 204 ? null : response.json();
};
export const postDescription = async (path, sdp) =>
  (await asked(path, {
    method: "POST",
    headers: { "Content-Type": "application/sdp" },
    body: sdp,
  })).text();
