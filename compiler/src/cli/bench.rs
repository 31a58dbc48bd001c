//! `nnc bench`: the time of one step, against the machine's measured peak.

use super::args::{BenchArgs, EntryName};
use super::ui::{Ui, bytes};
use crate::driver::{self, Failure};
use nn_runtime::peak;
use serde_json::json;
use std::time::{Duration, Instant};

/// Steps are timed for at least this long when their number is not given.
const BUDGET: Duration = Duration::from_millis(1500);
/// Untimed steps between the first and the timed ones.
const WARM_UP: usize = 3;

/// Times one entry of every program.
pub fn bench(args: &BenchArgs, ui: &Ui) -> Result<(), Failure> {
    let mut rows = vec![];
    for file in &args.files {
        let project = super::open(file, &args.common, ui)?;
        let unit = super::unit(&project, ui)?;
        let (entry, train) = match args.entry {
            EntryName::Train => ("train", true),
            EntryName::Eval => ("eval", false),
            EntryName::Init => return Err(Failure::Usage("`bench` times train or eval".to_owned())),
        };
        let mut run = driver::prepare(&project, unit, args.common.threads.map(usize::from))?;
        let batch = if train { run.plan.batch } else { run.plan.eval_batch };
        let threads = run.stepper.session.threads();
        let all = run.plan.train.rows.to_vec();
        let wanted: Vec<u32> = (0..batch as usize).map(|i| all[i % all.len()]).collect();
        let source = run.plan.train.source;
        let mut step = |t: u64| -> Result<Duration, Failure> {
            let start = Instant::now();
            run.stepper.run(entry, if train { t } else { 0 }, source, &wanted)?;
            Ok(start.elapsed())
        };
        let first = step(1)?;
        let mut t = 1;
        for _ in 0..WARM_UP {
            t += 1;
            step(t)?;
        }
        let mut times: Vec<Duration> = vec![];
        let began = Instant::now();
        while args.steps.map_or(times.len() < 20 || began.elapsed() < BUDGET, |n| (times.len() as u64) < n) {
            t += 1;
            times.push(step(t)?);
        }
        times.sort_unstable();
        let ms = |d: Duration| d.as_secs_f64() * 1e3;
        let (median, min) = (ms(times[times.len() / 2]), ms(times[0]));
        let peak = peak::gflops(threads);
        let e = run.stepper.session.entry(entry, batch);
        let flops = e.map_or(0, |e| run.stepper.session.program().entries[e].flops);
        let gflops = flops as f64 / (median * 1e6);
        let workload = file.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        let arena = run.stepper.session.arena_bytes();
        ui.event(&json!({
            "event": "bench", "workload": workload, "target": "cpu", "threads": threads, "median_ms": median,
            "min_ms": min, "first_ms": ms(first), "compile_ms": run.info.ms, "flops_per_step": flops, "gflops": gflops,
            "peak_gflops": peak, "arena_bytes": arena, "steps": times.len(),
        }));
        rows.push(vec![
            workload,
            threads.to_string(),
            format!("{median:.4}"),
            format!("{min:.4}"),
            format!("{:.1}", run.info.ms),
            format!("{gflops:.1}"),
            format!("{:.0}%", 100.0 * gflops / peak),
            bytes(arena),
            times.len().to_string(),
        ]);
        if args.profile {
            profile(&mut run, entry, source, &wanted, t, ui)?;
        }
    }
    let header = ["workload", "threads", "median ms", "min ms", "compile ms", "GFLOP/s", "of peak", "memory", "steps"];
    ui.text(&ui.table(&header, &rows, &[8, 7, 4, 1, 3]));
    Ok(())
}

/// Time per launch over some steps, longest first.
fn profile(
    run: &mut driver::Run,
    entry: &str,
    source: usize,
    rows: &[u32],
    mut t: u64,
    ui: &Ui,
) -> Result<(), Failure> {
    let Some(e) = run.stepper.session.entry(entry, rows.len() as u64) else { return Ok(()) };
    run.stepper.session.set_trace(e, true);
    for _ in 0..200 {
        t += 1;
        run.stepper.run(entry, t, source, rows)?;
    }
    if let Some(trace) = run.stepper.session.trace(e) {
        let us = |d: Duration| d.as_secs_f64() * 1e6 / trace.runs.max(1) as f64;
        let all = us(trace.total).max(1e-9);
        let row = |name: &str, busy: Duration, waiting: Duration, cost: u64| {
            let rate = cost as f64 / (us(busy).max(1e-3) * 1e3);
            vec![
                name.to_owned(),
                format!("{:.2}", us(busy)),
                format!("{:.2}", us(waiting)),
                format!("{:.1}%", 100.0 * (us(busy) + us(waiting)) / all),
                if cost > 0 { format!("{rate:.1}") } else { String::new() },
            ]
        };
        let mut rows = vec![row("gather", trace.gather, Duration::ZERO, 0)];
        rows.extend(trace.launches.iter().map(|l| row(&l.name, l.busy, l.waiting, l.cost)));
        ui.text(&ui.table(&["kernel", "us", "waiting", "share", "cost/ns"], &rows, &[4, 2]));
    }
    run.stepper.session.set_trace(e, false);
    Ok(())
}
