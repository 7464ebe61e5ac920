// parse.mjs reads a JSON array of HLS playlists from its standard input, has
// hls-parser read each and prints what it found as a JSON array.
import { readFileSync } from "node:fs";
import hls from "hls-parser";

// It complains to the console.
hls.setOptions({ strictMode: false });
let complaints = [];
console.error = (e) => complaints.push(String(e));

function summary(text) {
  complaints = [];
  const read = summarize(text);
  // It takes every segment to be as long as the target duration.
  const error = complaints.filter((c) => !c.includes("Remove EXT-X-PART tags from the Playlist")).join("; ");
  return error ? { error } : read;
}

function summarize(text) {
  try {
    const p = hls.parse(text);
    if (p.isMasterPlaylist) return { variants: p.variants.length, sounds: p.variants[0].audio.length };
    const control = p.lowLatencyCompatibility ?? {};
    const whole = p.segments.filter((s) => s.uri);
    const parts = p.segments.flatMap((s) => s.parts);
    return {
      target: p.targetDuration,
      partTarget: p.partTargetDuration ?? 0,
      holdBack: control.holdBack,
      skipUntil: control.canSkipUntil,
      skipped: p.skip,
      sequence: p.mediaSequenceBase,
      ended: p.endlist,
      segments: whole.map((s) => ({
        number: s.mediaSequenceNumber,
        sequence: s.discontinuitySequence,
        uri: s.uri,
        duration: s.duration,
        time: s.programDateTime?.toISOString(),
        map: s.map?.uri ?? "",
      })),
      parts: parts
        .filter((part) => !part.hint)
        .map((part) => ({ uri: part.uri, duration: part.duration, independent: !!part.independent })),
      hint: parts.find((part) => part.hint)?.uri ?? "",
      reports: p.renditionReports.map((r) => ({ uri: r.uri, msn: r.lastMSN, part: r.lastPart })),
    };
  } catch (e) {
    return { error: String(e) };
  }
}

console.log(JSON.stringify(JSON.parse(readFileSync(0, "utf8")).map(summary)));
