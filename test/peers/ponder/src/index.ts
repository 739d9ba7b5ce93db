// SPDX-License-Identifier: Apache-2.0 OR MIT
import { ponder } from "ponder:registry";
import { event as table } from "ponder:schema";

ponder.on("App:Paused", async ({ event, context }) => {
  const { by, until } = event.args;
  const { id, log, block } = event;
  await context.db
    .insert(table)
    .values({ id, block: block.number, address: log.address, name: "Paused", subject: by, text: String(until) });
});

ponder.on("Registry:AccountPinned", async ({ event, context }) => {
  const { domainHash, accountUri } = event.args;
  const { id, log, block } = event;
  await context.db
    .insert(table)
    .values({ id, block: block.number, address: log.address, name: "AccountPinned", subject: domainHash, text: accountUri });
});

ponder.on("Committee:NodeUrlSet", async ({ event, context }) => {
  const { nodeKey, url } = event.args;
  const { id, log, block } = event;
  await context.db
    .insert(table)
    .values({ id, block: block.number, address: log.address, name: "NodeUrlSet", subject: nodeKey, text: url });
});
