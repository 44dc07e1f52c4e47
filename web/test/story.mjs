// Tests that build on one another: after the first one that fails, the others are skipped.
import { test } from "node:test";

/** Like `test` of node:test. */
export function story() {
    let failed = false;
    return (name, action) =>
        test(name, async (context) => {
            if (failed) return context.skip("an earlier one failed");
            failed = true;
            await action(context);
            failed = false;
        });
}
