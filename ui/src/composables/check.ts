// SPDX-License-Identifier: Apache-2.0
import { onScopeDispose, type Ref, ref, shallowRef, watch } from "vue";
import { type ApiError, request } from "../api/client";
import type { Problem } from "../api/types";
import { toApiError } from "./resource";

/** How long nobody has typed before the text is checked. */
const QUIET_MS = 400;

/**
 * Has the server check a text as it is written, by the same code that would load it. `checked` is false from a change of
 * the text until the answer about it is here.
 */
export function useCheck(path: string, text: Ref<string>) {
  const problems = shallowRef<Problem[]>([]);
  const checked = ref(false);
  const error = shallowRef<ApiError>();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let running: AbortController | undefined;

  async function check(): Promise<void> {
    running?.abort();
    const mine = new AbortController();
    running = mine;
    try {
      const answer = await request<{ problems: Problem[] }>("POST", path, {
        body: { text: text.value },
        signal: mine.signal,
      });
      if (mine.signal.aborted) return;
      problems.value = answer.problems;
      error.value = undefined;
      checked.value = true;
    } catch (failure) {
      if (mine.signal.aborted) return;
      error.value = toApiError(failure);
    }
  }
  watch(
    text,
    (now) => {
      checked.value = false;
      clearTimeout(timer);
      running?.abort();
      if (now !== "") timer = setTimeout(() => void check(), QUIET_MS);
    },
    { immediate: true },
  );
  onScopeDispose(() => {
    clearTimeout(timer);
    running?.abort();
  });
  return { problems, checked, error };
}

/** The problems that a refusal of a text names, if it names any. */
export function problemsOf(error: ApiError | undefined): Problem[] {
  const body = error?.body as { problems?: Problem[]; error?: { problems?: Problem[] } } | undefined;
  return body?.problems ?? body?.error?.problems ?? [];
}
