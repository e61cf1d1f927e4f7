// SPDX-License-Identifier: Apache-2.0
// Keys of the whole program and of the page that is shown, in one list: what works is what the help shows.
import { onScopeDispose, shallowReactive } from "vue";

export interface Shortcut {
  /** One key (`j`, `Enter`, `?`) or two after another (`g s`). */
  keys: string;
  help: string;
  group: string;
  run: (event: KeyboardEvent) => void;
}

const active = shallowReactive(new Set<Shortcut>());
/** How long the second key of a pair is waited for. */
const PAIR_MS = 1200;
let first: { key: string; at: number } | undefined;

export const shortcuts: ReadonlySet<Shortcut> = active;

export function useShortcuts(list: Shortcut[]): void {
  for (const shortcut of list) active.add(shortcut);
  onScopeDispose(() => {
    for (const shortcut of list) active.delete(shortcut);
  });
}

const takesText = (target: EventTarget | null): boolean =>
  target instanceof HTMLElement &&
  (target.isContentEditable ||
    (target.matches("input, textarea, select") && !target.matches("[type=checkbox], [type=radio]")));

/** Enter and Space belong to the control that has the focus. */
const isControl = (target: EventTarget | null): boolean =>
  target instanceof HTMLElement && target.closest("button, a[href], summary, [role=tab], [role=switch]") !== null;

function find(keys: string): Shortcut | undefined {
  // The page's come after the program's and win.
  return [...active].reverse().find((shortcut) => shortcut.keys === keys);
}

export function handleKey(event: KeyboardEvent): void {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  // The editor is in a shadow root, behind which `target` does not see.
  const target = event.composedPath()[0] ?? event.target;
  if (takesText(target) || document.querySelector("dialog[open]")) return;
  if ((event.key === "Enter" || event.key === " ") && isControl(target)) return;
  const pair = first && Date.now() - first.at < PAIR_MS ? find(`${first.key} ${event.key}`) : undefined;
  first = undefined;
  const shortcut = pair ?? find(event.key);
  if (shortcut) {
    event.preventDefault();
    shortcut.run(event);
  } else if ([...active].some(({ keys }) => keys.startsWith(`${event.key} `))) {
    first = { key: event.key, at: Date.now() };
  }
}
