// SPDX-License-Identifier: Apache-2.0
import { nextTick, type Ref, ref } from "vue";
import { useRouter } from "vue-router";
import { useShortcuts } from "./shortcuts";

/** `j` and `k` choose a row of a table, Enter opens it. */
export function useRowKeys<T>(
  rows: Readonly<Ref<readonly T[]>>,
  group: string,
  noun: string,
  to: (row: T) => string | undefined,
) {
  const router = useRouter();
  const selected = ref(-1);
  const rowId = (at: number) => `row-${at}`;
  async function move(by: number): Promise<void> {
    if (rows.value.length === 0) return;
    selected.value = Math.min(rows.value.length - 1, Math.max(0, selected.value + by));
    await nextTick();
    document.getElementById(rowId(selected.value))?.scrollIntoView({ block: "nearest" });
  }
  const current = (): T | undefined => rows.value[selected.value];
  useShortcuts([
    { keys: "j", help: `the next ${noun}`, group, run: () => void move(1) },
    { keys: "k", help: `the ${noun} before`, group, run: () => void move(-1) },
    {
      keys: "Enter",
      help: `open the chosen ${noun}`,
      group,
      run: () => {
        const row = current();
        const target = row === undefined ? undefined : to(row);
        if (target) void router.push(target);
      },
    },
  ]);
  return { selected, rowId, move, current };
}
