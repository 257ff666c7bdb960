// One connection to the server: the camera's picture out, the painted one in, commands beside them.
import { get, post, postDescription } from "./server.js";
import { text } from "./strings.js";

const GATHER_MS = 1500; // how long to wait for addresses; local ones take a few ms
const CONNECT_MS = 15000;
const PING_MS = 3000;
const KEEP = "maintain-resolution"; // else Chrome scales the camera down under load

export class Connection extends EventTarget {
  /** @param {string[]} ice addresses of STUN servers; @param {number} bitrateMbit */
  constructor(ice, bitrateMbit) {
    super();
    this.peer = new RTCPeerConnection({ iceServers: ice.map((urls) => ({ urls })) });
    this.bitrate = bitrateMbit * 1e6;
    this.id = "";
    this.roundTripMs = 0;
    this.isOver = false;
    this.audio = null;
    this.peer.addEventListener("track", (event) => this.#receive(event));
    this.peer.addEventListener("connectionstatechange", () => {
      if (this.peer.connectionState === "connected") clearTimeout(this.connecting);
      if (["failed", "closed"].includes(this.peer.connectionState)) this.#end("");
    });
  }

  /** Sends a camera; the painting arrives as the event "picture". */
  async send(stream) {
    const camera = stream.getVideoTracks()[0];
    if (camera.contentHint === "") camera.contentHint = "motion";
    const video = this.peer.addTransceiver(camera, { direction: "sendrecv", streams: [stream] });
    preferH264(video);
    this.audio = this.peer.addTransceiver("audio", { direction: "sendrecv", streams: [stream] });
    this.#openChannel();
    const answer = await post("/live", { sdp: await this.#offer() });
    this.id = answer.id;
    await this.#accept(answer.sdp);
    const parameters = video.sender.getParameters();
    parameters.degradationPreference = KEEP;
    if (parameters.encodings?.length) {
      parameters.encodings[0].maxBitrate = this.bitrate;
      parameters.encodings[0].scaleResolutionDownBy = 1;
    }
    await video.sender.setParameters(parameters).catch(() => {}); // Firefox knows not all of them
  }

  /** Watches a session that another page, or OBS, has opened. */
  async watch(id, { controls }) {
    preferH264(this.peer.addTransceiver("video", { direction: "recvonly" }));
    if (controls) this.#openChannel();
    const answer = await postDescription(`/whep/${id}`, await this.#offer());
    await this.#accept(answer);
  }

  command(name, values = {}) {
    if (this.channel?.readyState === "open") {
      this.channel.send(JSON.stringify({ command: name, ...values }));
    }
  }

  useMicrophone(track) {
    return this.audio?.sender.replaceTrack(track);
  }

  /** How long a picture is on its way outside the server, in ms: encoding, network, decoding. */
  async outsideMs() {
    let ms = 0;
    for (const report of (await this.peer.getStats()).values()) {
      if (report.type === "outbound-rtp" && report.kind === "video" && report.framesEncoded) {
        ms += 1000 * (report.totalEncodeTime / report.framesEncoded);
      }
      if (report.type === "inbound-rtp" && report.kind === "video" && report.framesDecoded) {
        ms += 1000 * (report.totalProcessingDelay / report.framesDecoded);
      }
    }
    return ms + this.roundTripMs;
  }

  close() {
    if (this.isOver) return;
    this.isOver = true;
    clearInterval(this.pinging);
    clearTimeout(this.connecting);
    if (this.id) navigator.sendBeacon(`/live/${this.id}/end`);
    this.peer.close();
  }

  #openChannel() {
    this.channel = this.peer.createDataChannel("commands");
    this.channel.addEventListener("open", () => {
      this.dispatchEvent(new Event("open"));
      this.pinging = setInterval(() => {
        if (this.channel.readyState === "open") this.channel.send(`ping${performance.now() | 0}`);
      }, PING_MS);
    });
    this.channel.addEventListener("close", () => this.#end(""));
    this.channel.addEventListener("message", ({ data }) => {
      const message = JSON.parse(data);
      if ("pong" in message) this.roundTripMs = Math.max(0, performance.now() - message.pong - 1);
      if ("status" in message) this.#tell("status", message.status);
      if ("refused" in message) this.#tell("refused", message.refused);
      if ("ended" in message) this.#end(message.ended);
    });
  }

  #receive({ track, receiver, streams }) {
    if (track.kind === "video") {
      if ("jitterBufferTarget" in receiver) receiver.jitterBufferTarget = 0;
      this.#tell("picture", streams[0] ?? new MediaStream([track]));
    }
  }

  async #offer() {
    await this.peer.setLocalDescription(await this.peer.createOffer());
    await new Promise((done) => {
      const check = () => this.peer.iceGatheringState === "complete" && done();
      this.peer.addEventListener("icegatheringstatechange", check);
      setTimeout(done, GATHER_MS);
      check();
    });
    return this.peer.localDescription.sdp;
  }

  async #accept(sdp) {
    await this.peer.setRemoteDescription({ type: "answer", sdp });
    if (this.peer.connectionState === "connected") return;
    this.connecting = setTimeout(() => this.#end(text.noWay), CONNECT_MS);
  }

  #tell(kind, detail) {
    this.dispatchEvent(new CustomEvent(kind, { detail }));
  }

  #end(why) {
    if (this.isOver) return;
    this.close();
    this.#tell("end", why);
  }
}

/** The newest session that is being painted; null if there is none. */
export const newestSession = async () => (await get("/live")).at(-1)?.id ?? null;

function preferH264(transceiver) {
  const codecs = RTCRtpReceiver.getCapabilities?.("video")?.codecs ?? [];
  const rank = (codec) => (codec.mimeType === "video/H264" ? 0 : 1);
  transceiver.setCodecPreferences?.(codecs.toSorted((a, b) => rank(a) - rank(b)));
}
