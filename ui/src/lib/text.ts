// SPDX-License-Identifier: Apache-2.0
// Text of processes (names, arguments, paths) is hostile. Vue shows it as text, never as HTML; this makes visible what
// text can hide: control characters, what reorders, what has no width. The same rule as `printable` in lictor-api.

/** One run of text; `escape`: it stands for a character that is not shown as itself. */
export interface Piece {
  text: string;
  escape?: string;
}

const SHORT: Record<string, string> = { "\n": "\\n", "\t": "\\t", "\r": "\\r" };

/**
 * C0 and C1 controls; zero-width, joining and bidirectional formatting characters; line and paragraph separators; fillers
 * and blanks that look like nothing; interlinear marks, tags and variation selectors; halves of a surrogate pair.
 */
const DECEPTIVE =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for
  // biome-ignore lint/suspicious/noMisleadingCharacterClass: combining characters are meant one by one
  /[\u0000-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb]|[\u{e0000}-\u{e0fff}]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/gu;

const NAMES: Record<number, string> = {
  0: "null",
  7: "bell",
  8: "backspace",
  9: "tab",
  10: "line feed",
  13: "carriage return",
  27: "escape: begins a terminal command",
  127: "delete",
  173: "soft hyphen",
  8203: "zero-width space",
  8204: "zero-width non-joiner",
  8205: "zero-width joiner",
  8206: "left-to-right mark",
  8207: "right-to-left mark",
  8234: "left-to-right embedding",
  8235: "right-to-left embedding",
  8236: "pop directional formatting",
  8237: "left-to-right override",
  8238: "right-to-left override",
  8294: "left-to-right isolate",
  8295: "right-to-left isolate",
  8296: "first strong isolate",
  8297: "pop directional isolate",
  65279: "byte order mark",
};

function escapeOf(character: string): string {
  const short = SHORT[character];
  if (short) return short;
  const code = character.codePointAt(0) ?? 0;
  return code < 0x80 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u{${code.toString(16)}}`;
}

function nameOf(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  const number = `U+${code.toString(16).toUpperCase().padStart(4, "0")}`;
  const name = NAMES[code];
  return name ? `${number}, ${name}` : number;
}

/** `text` in runs: ordinary ones, and one for each character that is not shown as itself. */
export function pieces(text: string): Piece[] {
  const out: Piece[] = [];
  let done = 0;
  for (const match of text.matchAll(DECEPTIVE)) {
    if (match.index > done) out.push({ text: text.slice(done, match.index) });
    out.push({ text: escapeOf(match[0]), escape: nameOf(match[0]) });
    done = match.index + match[0].length;
  }
  if (done < text.length || out.length === 0) out.push({ text: text.slice(done) });
  return out;
}

/** `text` with escapes for attributes (title, aria-label) and everything else that takes only plain text. */
export function printable(text: string): string {
  return text.replace(DECEPTIVE, escapeOf);
}

/** The last component of a path; the whole text where it has none. */
export function basename(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1) || path;
}

/** Arguments as they would be typed: quoted where a shell would need it. Unlike a joined line it cannot hide where one ends. */
export function commandLine(args: readonly string[]): string {
  return args.map((arg) => (/^[\w@%+=:,./~-]+$/.test(arg) ? arg : `'${arg.replaceAll("'", "'\\''")}'`)).join(" ");
}
