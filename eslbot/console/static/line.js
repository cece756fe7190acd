// The browser's end of a call: microphone, loudspeaker and the WebSocket between (docs/doors.md).
//
//   microphone ─▶ capture.worklet ─▶ WebSocket ─▶ console ─▶ listener
//   ear ◀─ playback.worklet ◀──────────┘
//
// Events: "state" (busy or not), "told" (detail: a message of the listener), "levels" (detail:
// {mine, theirs, buffered, rtt}).

const RATE = 16000;
const PROTOCOL = "eslbot.call.v1";
const PING_MS = 2000;
const MAX_UNSENT = 64_000; // bytes; past that the network is behind, and sound is let go

export class Line extends EventTarget {
  constructor() {
    super();
    this.busy = false;
    this.muted = false;
    this.output = null; // the AudioNode of what is heard
    this.context = null;
    this.rtt = null;
    this.buffered = 0;
    this.sent = 0;
    this.received = 0;
    this.underruns = 0;
    this.why = ""; // how the last call ended, where it was not the bot's own end
  }

  /** Begin a call. Throws an Error whose message is for the user. */
  async call() {
    if (this.busy) return;
    this.why = "";
    this.muted = false;
    this.sent = this.received = this.underruns = 0;
    this.rtt = null;
    if (!navigator.mediaDevices?.getUserMedia) {
      throw new Error("A browser gives its microphone to pages of this machine, or over HTTPS, alone.");
    }
    this.#become(true);
    try {
      this.stream = await navigator.mediaDevices.getUserMedia({
        audio: { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 },
      });
      this.context = new AudioContext({ latencyHint: "interactive" });
      await Promise.all(["capture", "playback"].map((name) =>
        this.context.audioWorklet.addModule(`/static/${name}.worklet.js`)));
      await this.context.resume();
      this.#open();
    } catch (error) {
      this.#close();
      throw error.name === "NotAllowedError"
        ? new Error("The microphone was not allowed.")
        : error.name === "NotFoundError" ? new Error("There is no microphone.") : error;
    }
  }

  #open() {
    const options = { processorOptions: { rate: RATE }, channelCount: 1, channelCountMode: "explicit" };
    const microphone = this.context.createMediaStreamSource(this.stream);
    const capture = new AudioWorkletNode(this.context, "capture", { ...options, numberOfOutputs: 0 });
    this.output = new AudioWorkletNode(this.context, "playback", {
      ...options, numberOfInputs: 0, outputChannelCount: [1],
    });
    microphone.connect(capture);
    this.output.connect(this.context.destination);
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/door?rate=${RATE}`, PROTOCOL);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    capture.port.onmessage = ({ data }) => {
      if (socket.readyState !== WebSocket.OPEN || socket.bufferedAmount > MAX_UNSENT) return;
      const frame = this.muted ? new ArrayBuffer(data.frame.byteLength) : data.frame;
      socket.send(frame);
      this.sent++;
      this.mine = this.muted ? 0 : data.level;
    };
    this.output.port.onmessage = ({ data }) => {
      this.buffered = data.buffered;
      this.underruns = data.underruns;
      this.#say("levels", { mine: this.mine ?? 0, theirs: data.level, buffered: data.buffered, rtt: this.rtt });
    };
    socket.onmessage = ({ data }) => {
      if (typeof data === "string") {
        this.#told(JSON.parse(data));
      } else {
        this.received++;
        this.output?.port.postMessage(data, [data]);
      }
    };
    socket.onclose = (event) => {
      if (event.code !== 1000 && event.code !== 1005) {
        this.why = event.reason || "The connection was lost.";
      }
      this.#close();
    };
    this.pinging = setInterval(() => this.#send({ type: "ping", t: performance.now() }), PING_MS);
    socket.onopen = () => this.#send({ type: "ping", t: performance.now() });
  }

  #told(message) {
    if (message.type === "cleared") {
      this.output?.port.postMessage("clear");
    } else if (message.type === "pong") {
      this.rtt = performance.now() - message.t;
      const ear = (this.context?.outputLatency || 0) * 1000;
      this.#send({ type: "network", delay_ms: Math.round(this.rtt / 2 + this.buffered + ear) });
    } else {
      this.#say("told", message);
    }
  }

  key(digit) { this.#send({ type: "key", digit }); }

  mute(muted) {
    this.muted = muted;
    this.#say("state");
  }

  hangup() {
    this.#send({ type: "hangup" });
    // The listener answers with its end of the story; whoever does not is left.
    const socket = this.socket;
    setTimeout(() => socket?.close(1000), 1500);
    this.#silence();
  }

  #silence() {
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    this.output?.port.postMessage("clear");
  }

  #close() {
    clearInterval(this.pinging);
    this.#silence();
    this.socket?.close();
    this.context?.close();
    this.stream = this.socket = this.context = this.output = null;
    if (this.busy) this.#become(false);
  }

  #become(busy) {
    this.busy = busy;
    this.#say("state");
  }

  #send(message) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  #say(name, detail) { this.dispatchEvent(new CustomEvent(name, { detail })); }
}

/** The page's one line. */
export const line = new Line();
