// Frames to the ear, through a small buffer that evens out the network.
//
//   frames ──▶ queue ──▶ resampled ──▶ out
//              begins at `target` ms; an empty queue waits for it anew, and a little longer
//              above `target` + SLACK_MS silent frames are left out, above MAX_MS any

import { Resampler } from "./resample.js";

const FIRST_TARGET_MS = 60;
const LAST_TARGET_MS = 160;
const SLACK_MS = 40;
const MAX_MS = 500;
const SILENCE = 0.002;
const TELL_EVERY_S = 0.2;

class Playback extends AudioWorkletProcessor {
  constructor(options) {
    super();
    this.rate = options.processorOptions.rate;
    this.resampler = new Resampler(this.rate, sampleRate);
    this.queue = [];
    this.queued = 0; // samples
    this.ready = new Float32Array(0);
    this.playing = false;
    this.target = FIRST_TARGET_MS;
    this.underruns = 0;
    this.level = 0;
    this.told = 0;
    this.port.onmessage = ({ data }) => (data === "clear" ? this.clear() : this.take(data));
  }

  get buffered() {
    return (1000 * this.queued) / this.rate + (1000 * this.ready.length) / sampleRate;
  }

  clear() {
    this.queue = [];
    this.queued = 0;
    this.ready = new Float32Array(0);
  }

  take(buffer) {
    const frame = Float32Array.from(new Int16Array(buffer), (sample) => sample / 32768);
    const silent = frame.every((sample) => Math.abs(sample) < SILENCE);
    if (this.buffered > MAX_MS || (silent && this.buffered > this.target + SLACK_MS)) return;
    this.queue.push(frame);
    this.queued += frame.length;
    if (this.buffered >= this.target) this.playing = true;
  }

  process(_, [output]) {
    const out = output[0];
    let at = 0;
    while (this.playing && at < out.length) {
      if (!this.ready.length) {
        const frame = this.queue.shift();
        if (!frame) {
          this.playing = false;
          this.underruns++;
          this.target = Math.min(LAST_TARGET_MS, this.target + 20);
          break;
        }
        this.queued -= frame.length;
        this.ready = this.resampler.push(frame);
        if (!this.ready.length) continue;
      }
      const piece = this.ready.subarray(0, out.length - at);
      out.set(piece, at);
      at += piece.length;
      this.ready = this.ready.subarray(piece.length);
    }
    for (const sample of out) this.level = Math.max(this.level, Math.abs(sample));
    if (currentTime - this.told > TELL_EVERY_S) {
      this.told = currentTime;
      this.port.postMessage({
        buffered: this.buffered, underruns: this.underruns, level: this.level,
      });
      this.level = 0;
    }
    return true;
  }
}

registerProcessor("playback", Playback);
