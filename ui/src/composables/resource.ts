// SPDX-License-Identifier: Apache-2.0
import { type ComputedRef, computed, onScopeDispose, type Ref, ref, type ShallowRef, shallowRef, watch } from "vue";
import { ApiError } from "../api/client";

export interface Resource<T> {
  data: ShallowRef<T | undefined>;
  error: ShallowRef<ApiError | undefined>;
  loading: Ref<boolean>;
  /** Nothing to show yet, and no error either. */
  pending: ComputedRef<boolean>;
  reload: () => Promise<void>;
}

/**
 * Something loaded from the server: now, when `on` changes, and every `everyMs` while the page is visible
 * and `while` says so. What was shown
 * stays while it is loaded again, and when that fails; an older answer never replaces a newer one.
 */
export function useResource<T>(
  load: (signal: AbortSignal) => Promise<T>,
  options: { everyMs?: number; while?: () => boolean; on?: () => unknown; keep?: boolean } = {},
): Resource<T> {
  const data = shallowRef<T>();
  const error = shallowRef<ApiError>();
  const loading = ref(false);
  let running: AbortController | undefined;

  async function reload(): Promise<void> {
    running?.abort();
    const mine = new AbortController();
    running = mine;
    loading.value = true;
    try {
      const answer = await load(mine.signal);
      if (mine.signal.aborted) return;
      data.value = answer;
      error.value = undefined;
    } catch (failure) {
      if (mine.signal.aborted) return;
      error.value = toApiError(failure);
    } finally {
      if (running === mine) loading.value = false;
    }
  }

  if (options.on) {
    watch(options.on, () => {
      if (!options.keep) data.value = undefined;
      error.value = undefined;
      void reload();
    });
  }
  if (options.everyMs) {
    const timer = setInterval(() => {
      if (!document.hidden && !loading.value && (options.while?.() ?? true)) void reload();
    }, options.everyMs);
    onScopeDispose(() => clearInterval(timer));
  }
  onScopeDispose(() => running?.abort());
  void reload();
  return { data, error, loading, pending: computed(() => data.value === undefined && !error.value), reload };
}

export function toApiError(failure: unknown): ApiError {
  if (failure instanceof ApiError) return failure;
  return new ApiError(-1, "page", failure instanceof Error ? failure.message : String(failure));
}

/** Runs something that the user asked for: says that it runs, and what went wrong. */
export function useAction<A extends unknown[], T>(act: (...args: A) => Promise<T>) {
  const running = ref(false);
  const error = shallowRef<ApiError>();
  async function run(...args: A): Promise<T | undefined> {
    if (running.value) return undefined;
    running.value = true;
    error.value = undefined;
    try {
      return await act(...args);
    } catch (failure) {
      error.value = toApiError(failure);
      return undefined;
    } finally {
      running.value = false;
    }
  }
  return { running, error, run };
}
