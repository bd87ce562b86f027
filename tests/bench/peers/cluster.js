// SPDX-License-Identifier: MIT
// A server of Node's cluster module, as its documentation has it: HUP starts new workers, then
// disconnects the old ones; one that was killed is replaced. Prints a line when it is ready, and one when a reload is done.
const cluster = require('cluster');
const http = require('http');

const [port, count = '2', body = 'pong'] = process.argv.slice(2);
const COUNT = Number(count);

function fork(then) {
  const fresh = Array.from({length: COUNT}, () => cluster.fork());
  let waiting = COUNT;
  for (const worker of fresh) worker.once('listening', () => --waiting || then(fresh));
  return fresh;
}

if (cluster.isPrimary) {
  let current = fork(() => console.log('ready'));
  cluster.on('exit', (worker, code, signal) => {
    if (signal) cluster.fork();
  });
  process.on('SIGHUP', () => {
    fork((fresh) => {
      for (const worker of current) worker.disconnect();
      current = fresh;
      console.log('reloaded');
    });
  });
} else {
  const server = http.createServer((request, response) => response.end(body));
  server.keepAliveTimeout = 60000;
  server.listen(Number(port), '127.0.0.1');
}
