//! The objects for Kubernetes, as kustomize writes them.

use serde_json::Value;

use crate::reading::{answer, assert_pinned, python, strings, validator, yaml};

const KUSTOMIZATION: &str = "deploy/kubernetes/base";

/// The objects as kustomize writes them, and the file they are in.
pub(crate) fn rendered() -> (tempfile::TempDir, Vec<Value>) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("objects.yaml");
    std::fs::write(&file, answer(validator("kubectl").args(["kustomize", KUSTOMIZATION]))).unwrap();
    let objects = yaml(&file);
    (folder, objects)
}

pub(crate) fn of_kind(kind: &str) -> Vec<Value> {
    let (_, objects) = rendered();
    let found: Vec<_> = objects.into_iter().filter(|object| object["kind"] == kind).collect();
    assert!(!found.is_empty(), "no {kind}");
    found
}

/// Every pod, of deployments and of the job.
pub(crate) fn pods() -> Vec<Value> {
    let owners = [of_kind("Deployment"), of_kind("Job")].concat();
    owners.into_iter().map(|mut owner| owner["spec"]["template"]["spec"].take()).collect()
}

pub(crate) fn containers() -> Vec<Value> {
    pods().into_iter().map(|mut pod| pod["containers"][0].take()).collect()
}

#[test]
fn kubernetes_objects_fit_its_schemas() {
    let (folder, objects) = rendered();
    let mut command = python("from kubernetes_validate.__main__ import main; main()");
    let said = answer(command.arg("--strict").arg(folder.path().join("objects.yaml")));
    assert_eq!(said.matches(" passed for resource ").count(), objects.len(), "{said}");
    assert!(objects.iter().all(|object| object["kind"] != "Secret"), "no secret is shipped");
    for object in &objects {
        let is_namespace = object["kind"] == "Namespace";
        assert!(is_namespace || object["metadata"]["namespace"] == "tillwatch", "{object}");
    }
}

#[test]
fn pods_may_do_little() {
    for pod in pods() {
        assert_eq!(pod["automountServiceAccountToken"], false);
        assert_eq!(pod["enableServiceLinks"], false);
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
        assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
        let container = &pod["containers"][0];
        assert_pinned(container["image"].as_str().unwrap());
        let context = &container["securityContext"];
        assert_eq!(context["allowPrivilegeEscalation"], false);
        assert_eq!(context["readOnlyRootFilesystem"], true);
        assert_eq!(strings(&context["capabilities"]["drop"]), ["ALL"]);
        assert!(container["resources"]["limits"]["memory"].is_string());
        for variable in container["env"].as_array().into_iter().flatten() {
            // Settings by their names; anything else may be a secret.
            let is_setting = variable["name"].as_str().unwrap().starts_with("TILLWATCH_");
            assert!(is_setting || variable["value"].is_null(), "a secret is referred to: {variable}");
        }
    }
}

#[test]
fn deployments_are_probed_and_there_are_as_many_as_may_be() {
    let deployments = of_kind("Deployment");
    let named = |name: &str| deployments.iter().find(|each| each["metadata"]["name"] == name).unwrap();
    for (name, ready) in [
        ("ingest", "/ready/ingest"),
        ("process", "/ready/processor"),
        ("alert", "/ready/alerting"),
        ("board", "/live"),
    ] {
        let container = &named(name)["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(strings(&container["args"]), [name]);
        assert_eq!(container["livenessProbe"]["httpGet"]["path"], "/live", "{name}");
        assert_eq!(container["readinessProbe"]["httpGet"]["path"], ready, "{name}");
    }
    assert_eq!(named("alert")["spec"]["replicas"], 1, "its state is one file");
    assert_eq!(named("alert")["spec"]["strategy"]["type"], "Recreate");
    assert_eq!(named("ingest")["spec"]["replicas"], Value::Null, "the autoscaler's");
    let scaler = &of_kind("HorizontalPodAutoscaler")[0];
    assert_eq!(scaler["spec"]["scaleTargetRef"]["name"], "ingest");
    assert!(scaler["spec"]["minReplicas"].as_u64().unwrap() >= 2);
    for service in of_kind("Service") {
        assert_eq!(service["spec"]["type"], "ClusterIP", "the admin port has no login: {service}");
    }
}
