// SPDX-License-Identifier: Apache-2.0 OR MIT
// Tells how many events are indexed; ponder wants an API to be there.
import { db } from "ponder:api";
import { event } from "ponder:schema";
import { Hono } from "hono";
import { count } from "ponder";

const app = new Hono();

app.get("/count", async (c) => {
  const rows = await db.select({ events: count() }).from(event);
  return c.json(rows[0] ?? { events: 0 });
});

export default app;
