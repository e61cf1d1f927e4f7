// SPDX-License-Identifier: Apache-2.0

/**
 * The last `capacity` items, each with a number that counts from the first one ever pushed. A view keeps the number it
 * ends at, so that it stands still while items go on coming, at no cost.
 */
export class Ring<T> {
  private readonly slots: T[] = [];
  /** How many were ever pushed. */
  total = 0;

  constructor(readonly capacity: number) {}

  push(item: T): void {
    this.slots[this.total % this.capacity] = item;
    this.total += 1;
  }

  /** The number of the oldest item that is still there. */
  get first(): number {
    return Math.max(0, this.total - this.capacity);
  }

  get length(): number {
    return this.total - this.first;
  }

  /** Item number `at`; absent when it was overwritten or has not come yet. */
  at(at: number): T | undefined {
    return at >= this.first && at < this.total ? this.slots[at % this.capacity] : undefined;
  }

  clear(): void {
    this.slots.length = 0;
    this.total = 0;
  }
}
