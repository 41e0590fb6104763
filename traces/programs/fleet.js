// Several processes of several worker threads each, side by side: many spaces, many threads in
// each.
//
//   node fleet.js [PROCESSES] [WORKERS] [ROUNDS]
'use strict';
const { spawn } = require('child_process');
const path = require('path');

const [processes, workers, rounds] = [3, 4, 12].map((usual, i) => process.argv[2 + i] || usual);
for (let i = 0; i < Number(processes); i++) {
    const child = spawn(process.execPath, [path.join(__dirname, 'collect.js'), workers, rounds],
                        { stdio: 'inherit' });
    child.on('exit', (status) => { process.exitCode ||= status; });
}
