// SPDX-License-Identifier: Apache-2.0 OR MIT
// One row per event, as the relayer keeps them.
import { onchainTable } from "ponder";

export const event = onchainTable("event", (t) => ({
  id: t.text().primaryKey(),
  block: t.bigint().notNull(),
  address: t.hex().notNull(),
  name: t.text().notNull(),
  subject: t.hex().notNull(),
  text: t.text().notNull(),
}));
