//! Any config, written back, is read the same.

use proptest::prelude::*;

use super::*;
use crate::distill::Kind;

fn a_name() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,12}"
}

fn a_path() -> impl Strategy<Value = PathBuf> {
    // Letters that TOML has to escape, and some it need not.
    "[a-z\"'\\\\ \u{e9}\u{1f600}\t]{1,12}".prop_map(|name| Path::new("/somewhere").join(name))
}

fn a_choice() -> impl Strategy<Value = ModelChoice> {
    let model = prop_oneof![
        proptest::sample::select(crate::nn::zoo::names()),
        a_path().prop_map(|path| format!("{}.toml", path.display())),
        a_path().prop_map(|path| format!("{}.toml:mine", path.display())),
    ];
    (model, proptest::option::of(a_path())).prop_map(|(model, weights)| ModelChoice { model, weights, taught_by: None })
}

fn an_assistant() -> impl Strategy<Value = ModelChoice> {
    (a_choice(), some_methods()).prop_map(|(choice, methods)| {
        let by = methods.into_iter().find(|one| ["kd", "dkd", "fitnet"].contains(&one.description.name));
        let by = by.or_else(|| MethodConfig::standard("takd"));
        ModelChoice { taught_by: by.filter(|_| choice.weights.is_none()), ..choice }
    })
}

fn a_schedule(epochs: u32, lr: f64) -> impl Strategy<Value = Schedule> {
    let end = f64::from(epochs);
    let milestones = || {
        proptest::collection::vec(0.001..1.0f64, 0..5).prop_map(move |mut shares| {
            shares.sort_by(f64::total_cmp);
            shares.dedup();
            shares.into_iter().map(|share| share * end).collect::<Vec<f64>>()
        })
    };
    let gamma = 0.001..=1.0f64;
    let shape = prop_oneof![
        Just(Shape::Constant),
        (milestones(), gamma.clone()).prop_map(|(milestones, gamma)| Shape::MultiStep { milestones, gamma }),
        (0.0..=lr).prop_map(|final_lr| Shape::Cosine { final_lr }),
        (0.0..1.0f64, 0.001..=1.0f64, milestones(), gamma).prop_map(move |(final_lr, share, milestones, gamma)| {
            Shape::LinearRamp { final_lr, ramp_epochs: share * end, milestones, gamma }
        }),
        (0.0..=1.0f64, 1.0..100.0f64, 1.0..1e6f64).prop_map(|(pct_start, div_factor, final_div_factor)| {
            Shape::OneCycle { pct_start, div_factor, final_div_factor }
        }),
    ];
    (shape, 0.0..=1.0f64).prop_map(move |(shape, share)| Schedule {
        warmup_epochs: if matches!(shape, Shape::OneCycle { .. }) { 0.0 } else { share * end },
        shape,
    })
}

fn a_training(seeds: std::ops::Range<usize>, is_student: bool) -> impl Strategy<Value = TrainConfig> {
    let optimizer = (1e-6..10.0f64, 0.001..1.0f64, 0.0..1.0f64, any::<bool>(), any::<bool>()).prop_map(
        |(lr, momentum, weight_decay, nesterov, decay_norm_and_bias)| Optimizer {
            lr,
            momentum,
            weight_decay,
            nesterov,
            decay_norm_and_bias,
        },
    );
    let precision = prop_oneof![Just(Precision::F32), Just(Precision::Tf32), Just(Precision::Bf16)];
    let seeds = proptest::collection::btree_set(0..=i64::MAX as u64, seeds);
    let together = if is_student { any::<Option<bool>>().boxed() } else { Just(None).boxed() };
    (1..=1000u32, 1..=65_536usize, (seeds, together), optimizer, 0.0..1.0f64, precision).prop_flat_map(
        |(epochs, batch_size, (seeds, seeds_together), optimizer, label_smoothing, precision)| {
            a_schedule(epochs, optimizer.lr).prop_map(move |schedule| TrainConfig {
                epochs,
                batch_size,
                seeds: seeds.iter().copied().collect(),
                seeds_together,
                optimizer: optimizer.clone(),
                schedule,
                label_smoothing,
                precision,
            })
        },
    )
}

fn some_methods() -> impl Strategy<Value = Vec<MethodConfig>> {
    proptest::collection::vec((0..distill::METHODS.len(), proptest::collection::vec(any::<u16>(), 16)), 1..4).prop_map(
        |drawn| {
            let one = |(index, (method, draws)): (usize, (usize, Vec<u16>))| {
                let description = distill::METHODS[method];
                let mut hyperparameters = description.defaults();
                for (one, draw) in description.hyperparameters.iter().zip(draws) {
                    let raw = match one.kind {
                        Kind::Number { minimum, .. } => Raw::Number(minimum + 0.1 + f64::from(draw) / 7.0),
                        Kind::Share { .. } => Raw::Number(f64::from(draw) / f64::from(u16::MAX)),
                        Kind::Count { minimum, maximum, .. } => Raw::Integer(
                            i64::from(minimum) + i64::from(draw) % (i64::from(maximum) - i64::from(minimum) + 1),
                        ),
                        Kind::CountOrNone { maximum, .. } if u32::from(draw) % 3 > 0 => {
                            Raw::Integer(i64::from(draw) % (i64::from(maximum) + 1))
                        }
                        Kind::CountOrNone { .. } => Raw::Nothing,
                        Kind::Epochs { .. } => Raw::Number(f64::from(draw) / 7.0),
                        Kind::Milestones { .. } => Raw::Numbers(&[1.0, 2.5, 8.0]),
                        Kind::Flag { .. } => Raw::Flag(draw % 2 == 0),
                        Kind::Choice { names } => Raw::Text(names[usize::from(draw) % names.len()]),
                        Kind::Method { own, others } => {
                            Raw::Text(others.get(usize::from(draw) % (others.len() + 1)).copied().unwrap_or(own))
                        }
                    };
                    let setting = one.kind.accept(raw).unwrap();
                    hyperparameters.set(one.name, setting);
                    if let Setting::Method("review_kd") = setting {
                        let weight = serde_json::json!({ "weight": f64::from(draw) / 7.0 });
                        let review = distill::find("review_kd").unwrap().from_json(weight.as_object().unwrap());
                        hyperparameters.set_method(one.name, "review_kd", review.unwrap());
                    }
                }
                if (description.contradiction)(&hyperparameters).is_some() {
                    hyperparameters = description.defaults();
                }
                MethodConfig { description, label: format!("m{index}"), hyperparameters, weights: None }
            };
            drawn.into_iter().enumerate().map(one).collect()
        },
    )
}

fn some_data() -> impl Strategy<Value = DataConfig> {
    let source = prop_oneof![
        Just((Some(SourceKind::Embedded), None)),
        Just((Some(SourceKind::FashionMnist), None)),
        a_path().prop_map(|path| (None, Some(path))),
        a_path().prop_map(|path| (Some(SourceKind::Cifar100), Some(path))),
    ];
    let channel = || -10.0..10.0f64;
    let normalisation = proptest::option::of(prop_oneof![
        (channel(), 0.001..10.0f64).prop_map(|(mean, std)| (vec![mean], vec![std])),
        ([channel(), channel(), channel()], [0.001..10.0f64, 0.1..0.2f64, 1.0..2.0f64])
            .prop_map(|(mean, std)| (mean.to_vec(), std.to_vec())),
    ]);
    (source, 0.0..1.0f64, 0..=i64::MAX as u64, 0..=512u32, any::<bool>(), normalisation).prop_map(
        |((source, path), validation, validation_seed, crop_padding, flip, normalisation)| {
            let (mean, std) = normalisation.unzip();
            let augment = Augment { crop_padding, flip };
            DataConfig { source, path, validation, validation_seed, augment, mean, std }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_config_written_back_is_read_the_same(
        name in a_name(),
        data in some_data(),
        student in a_choice(),
        teachers in proptest::collection::vec(a_choice(), 2..4),
        assistants in proptest::collection::vec(an_assistant(), 1..3),
        peers in proptest::collection::vec(a_choice(), 1..4),
        pretrain in a_training(1..2, false),
        methods in some_methods(),
        train in a_training(1..4, true),
        every_epochs in 0..=u32::MAX,
        keep in 1..=1000usize,
    ) {
        let classroom = ClassroomConfig { student, teachers, assistants, peers };
        let smoothed = methods.iter().all(|method| method.description.takes_smoothed_labels);
        let train = TrainConfig { label_smoothing: if smoothed { train.label_smoothing } else { 0.0 }, ..train };
        let output = OutputConfig { checkpoints: Checkpoints { every_epochs, every_steps: every_epochs / 3, keep } };
        let config = Config { name, data, classroom, pretrain, methods, train, output };
        let written = config.to_toml();
        let again = read(&written).map_err(|error| TestCaseError::fail(format!("{}\n{written}", shown(&error))))?;
        prop_assert_eq!(&again, &config, "{}", written);
        prop_assert_eq!(again.to_toml(), written);
    }
}
