use super::*;

/// Long enough for any of these; with paused time it passes at once.
const DRAIN: Duration = Duration::from_secs(5);

#[tokio::test]
async fn a_task_that_drains_ends_the_process_well() {
    let lifecycle = Lifecycle::new();
    let soft = lifecycle.soft().clone();
    lifecycle.spawn("service", async move {
        soft.cancelled().await;
        Ok(())
    });
    lifecycle.shut_down();
    assert_eq!(lifecycle.run(Duration::ZERO, DRAIN).await.unwrap(), ExitCode::SUCCESS);
}

#[tokio::test]
async fn a_task_that_ends_by_itself_ends_the_process_badly() {
    let lifecycle = Lifecycle::new();
    lifecycle.spawn("service", async { Ok(()) });
    assert_eq!(lifecycle.run(Duration::ZERO, DRAIN).await.unwrap(), ExitCode::FAILURE);
}

#[tokio::test]
async fn a_task_that_fails_ends_the_process_badly() {
    let lifecycle = Lifecycle::new();
    lifecycle.spawn("service", async { Err(anyhow::anyhow!("no")) });
    assert_eq!(lifecycle.run(Duration::ZERO, DRAIN).await.unwrap(), ExitCode::FAILURE);
}

#[tokio::test]
async fn a_task_that_panics_ends_the_process_badly() {
    let lifecycle = Lifecycle::new();
    lifecycle.spawn("service", async { panic!("a defect") });
    assert_eq!(lifecycle.run(Duration::ZERO, DRAIN).await.unwrap(), ExitCode::FAILURE);
}

#[tokio::test]
async fn what_tasks_depend_on_ends_after_them() {
    let lifecycle = Lifecycle::new();
    let (soft, drained) = (lifecycle.soft().clone(), Arc::new(AtomicBool::new(false)));
    let (in_task, in_last) = (Arc::clone(&drained), Arc::clone(&drained));
    lifecycle.spawn("service", async move {
        soft.cancelled().await;
        in_task.store(true, Ordering::SeqCst);
        Ok(())
    });
    let (ended, was_drained) = tokio::sync::oneshot::channel();
    lifecycle.spawn_last("engine", |stop| async move {
        stop.cancelled().await;
        ended.send(in_last.load(Ordering::SeqCst)).unwrap();
        Ok(())
    });
    lifecycle.shut_down();
    assert_eq!(lifecycle.run(Duration::ZERO, DRAIN).await.unwrap(), ExitCode::SUCCESS);
    assert!(was_drained.await.unwrap());
}

#[tokio::test]
async fn what_tasks_depend_on_may_neither_end_nor_panic_before_them() {
    let lifecycle = Lifecycle::new();
    lifecycle.spawn_last("engine", |_stop| async { Ok(()) });
    assert_eq!(lifecycle.run(Duration::ZERO, DRAIN).await.unwrap(), ExitCode::FAILURE);

    let lifecycle = Lifecycle::new();
    lifecycle.spawn_last("engine", |_stop| async { panic!("a defect") });
    assert_eq!(lifecycle.run(Duration::ZERO, DRAIN).await.unwrap(), ExitCode::FAILURE);
}

#[tokio::test(start_paused = true)]
async fn one_deadline_is_for_everything() {
    let lifecycle = Lifecycle::new();
    lifecycle.spawn("stuck", std::future::pending());
    // Deaf to the hard token too.
    lifecycle.spawn_detached(std::future::pending());
    lifecycle.spawn_last("stuck engine", |_stop| std::future::pending());
    lifecycle.shut_down();
    let began = Instant::now();
    assert_eq!(lifecycle.run(Duration::ZERO, DRAIN).await.unwrap(), ExitCode::FAILURE);
    assert!(began.elapsed() <= DRAIN + 2 * HARD_GRACE, "{:?}", began.elapsed());
}
