// Runs the functions of a client, one after the other, and prints one JSON object for each.
// The first one that fails prints why, and ends the program with 1.
export async function run(...steps) {
  for (const step of steps) {
    try {
      await step();
    } catch (error) {
      console.log(JSON.stringify({ step: step.name, ok: false, error: `${error.stack} ${error.cause ?? ""}` }));
      process.exit(1);
    }
    console.log(JSON.stringify({ step: step.name, ok: true }));
  }
}
