// Seconds by the clock, and of this process's processor time, that something takes.
export async function measured(run) {
  const [started, spent] = [performance.now(), process.cpuUsage()];
  await run();
  const { user, system } = process.cpuUsage(spent);
  return { seconds: (performance.now() - started) / 1000, processor: (user + system) / 1e6 };
}
