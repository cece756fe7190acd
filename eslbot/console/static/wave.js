// Both sides of a call as two tracks, with a player: left channel caller, right channel bot.

import { clock, h } from "./dom.js";

const COLUMNS = 900;
const MAX_DRAWN = 40_000_000; // bytes, about 20 minutes; a longer one is heard without its picture

export class Wave {
  constructor(url, onTime) {
    this.onTime = onTime;
    this.peaks = null;
    this.names = ["Caller", "Bot"].map((name) => h("span", { class: `wave-name ${name.toLowerCase()}` }, name));
    this.audio = h("audio", { src: url, controls: true, preload: "metadata", "aria-label": "Recording of the call" });
    this.canvas = h("canvas", { class: "wave", role: "slider", tabindex: "0", "aria-label": "Place in the recording",
      onclick: (event) => this.seek((event.offsetX / this.canvas.clientWidth) * this.length),
      onkeydown: (event) => this.key(event) });
    this.element = h("div", {},
      h("div", { class: "wave-box" },
        this.names, this.canvas),
      this.audio);
    this.audio.addEventListener("timeupdate", () => { onTime(this.audio.currentTime); this.draw(); });
    this.redraw = () => this.draw();
    addEventListener("resize", this.redraw);
    this.scheme = matchMedia("(prefers-color-scheme: dark)");
    this.scheme.addEventListener("change", this.redraw);
    this.load(url);
  }

  get length() {
    return this.seconds ?? this.audio.duration ?? 0;
  }

  leave() {
    this.audio.pause();
    removeEventListener("resize", this.redraw);
    this.scheme.removeEventListener("change", this.redraw);
  }

  seek(at) {
    this.audio.currentTime = Math.max(0, Math.min(at, this.length || at));
    this.audio.play().catch(() => {});
    this.draw();
  }

  key(event) {
    const step = { ArrowLeft: -5, ArrowRight: 5, Home: -Infinity }[event.key];
    if (step !== undefined) this.audio.currentTime = Math.max(0, this.audio.currentTime + step);
    else if (event.key === " ") this.audio.paused ? this.audio.play() : this.audio.pause();
    else return;
    event.preventDefault();
    this.draw();
  }

  async load(url) {
    const answer = await fetch(url);
    if (!answer.ok || Number(answer.headers.get("content-length")) > MAX_DRAWN) return;
    const bytes = await (await answer.blob()).arrayBuffer();
    const context = new OfflineAudioContext(2, 1, 8000);
    const sound = await context.decodeAudioData(bytes);
    this.seconds = sound.duration;
    this.peaks = [0, Math.min(1, sound.numberOfChannels - 1)].map((channel) => {
      const samples = sound.getChannelData(channel);
      const each = Math.max(1, Math.floor(samples.length / COLUMNS));
      return Float32Array.from({ length: COLUMNS }, (_, column) => {
        let peak = 0;
        for (let i = column * each; i < (column + 1) * each && i < samples.length; i++) {
          peak = Math.max(peak, Math.abs(samples[i]));
        }
        return peak;
      });
    });
    this.draw();
  }

  draw() {
    const { canvas } = this;
    const ratio = devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (!width) { requestAnimationFrame(() => canvas.isConnected && this.draw()); return; }
    canvas.width = width * ratio;
    canvas.height = height * ratio;
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    // As their names are written: a canvas does not know the colours' variables.
    const colours = this.names.map((name) => getComputedStyle(name).color);
    const half = height / 2;
    this.peaks?.forEach((peaks, channel) => {
      pen.fillStyle = colours[channel];
      const middle = half * (channel + 0.5);
      peaks.forEach((peak, column) => {
        const tall = Math.max(1, Math.sqrt(peak) * (half - 6));
        pen.fillRect((column * width) / COLUMNS, middle - tall / 2, Math.max(0.8, width / COLUMNS - 0.4), tall);
      });
    });
    const at = this.audio.currentTime;
    if (this.length) {
      pen.fillStyle = getComputedStyle(canvas).color;
      pen.fillRect((at / this.length) * width, 0, 1.5, height);
    }
    canvas.setAttribute("aria-valuemin", "0");
    canvas.setAttribute("aria-valuemax", String(Math.round(this.length)));
    canvas.setAttribute("aria-valuenow", String(Math.round(at)));
    canvas.setAttribute("aria-valuetext", clock(at));
  }
}
