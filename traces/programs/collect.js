// Worker threads that allocate, keep a little and drop the rest, so that the engine's collectors
// grow, compact and shrink one heap per worker while its compiler toggles the rights of code pages.
//
// A worker that is done is followed by a new one, until there were GENERATIONS of them.
//
//   node collect.js [WORKERS] [ROUNDS] [GENERATIONS]
'use strict';
const { Worker, isMainThread, workerData } = require('worker_threads');

// A ring of buffers and small trees: each round makes one eighth of it garbage.
function churn(rounds, seed) {
    const ring = new Array(64).fill(null);
    for (let round = 0; round < rounds; round++) {
        const tree = [];
        for (let i = 0; i < 2000; i++)
            tree.push({ round, key: `k${(i * seed) % 977}`, next: tree[i >> 1] });
        ring[(round * 8 + seed) % ring.length] = {
            tree, buffer: new ArrayBuffer(65536 + 4096 * (round % 32)),
        };
    }
    return ring.filter(Boolean).length;
}

// Functions made anew are compiled anew: code pages become writable and executable again.
function compile(count) {
    let sum = 0;
    for (let n = 0; n < count; n++) {
        const body = `let s = ${n}; for (let i = 0; i < x; i++) s += i ^ ${n}; return s;`;
        const f = new Function('x', body);
        for (let i = 0; i < 200; i++)
            sum += f(20);
    }
    return sum;
}

function employ(rounds, seed, generations) {
    const worker = new Worker(__filename, { workerData: { rounds, seed } });
    if (generations > 1)
        worker.on('exit', () => employ(rounds, seed, generations - 1));
}

if (isMainThread) {
    const [workers, rounds, generations] =
        [10, 40, 1].map((usual, i) => Number(process.argv[2 + i] || usual));
    for (let seed = 1; seed <= workers; seed++)
        employ(rounds, seed, generations);
} else {
    churn(workerData.rounds, workerData.seed);
    compile(workerData.rounds);
}
