//! A network: forward in both modes, the loss, its gradients, and the running statistics after one training forward.

use super::batch::{Batch, image_extents, network, parameter_inputs, set_parameters};
use super::{Answers, Case, CaseTensor};
use crate::error::Result;
use crate::gpu::Processor;
use crate::nn::{Mode, Model, to_pytorch};
use crate::tape::{Arena, Plan, StateLayout, Tape, ValueId};
use crate::tensor::DType;

pub(super) fn replay(case: &Case, float: DType, processor: &Processor) -> Result<Answers> {
    let input = case.input("input")?;
    let extents = image_extents(input, "[N, 3, H, W]")?;
    let network = network(case, case.text("model")?, extents)?;
    let (count, classes) = (extents[0], network.classes);
    let labels = case.labels("target", &[count], classes)?;
    let mut known = parameter_inputs(case, &network, "param")?;
    known.extend(["input".to_string(), "target".to_string()]);
    case.refuse_others(&known)?;

    let mut layout = StateLayout::new();
    let batch = Batch::declare(&mut layout, extents, float);
    let model = Model::declare(&mut layout, "model", "model", network, float);

    let mut eval = Tape::new(float);
    let (images, _) = batch.values(&mut eval, &layout);
    let eval_logits = model.record(&mut eval, &layout, images, Mode::Eval, &[])?.logits;
    eval.keep(eval_logits);
    let eval = Plan::on(processor, &eval, &layout)?;

    // What is dropped while learning is the engine's own: of a net with dropout a case can hold what eval mode gives.
    let number = layout.declare("number", DType::U32, [1]);
    let mut train = Tape::new(float);
    let number = train.state(&layout, number);
    train.set_randomness(0, number);
    let (images, targets) = batch.values(&mut train, &layout);
    let logits = model.record(&mut train, &layout, images, Mode::Train, &[])?.logits;
    let loss = train.cross_entropy(logits, targets, 0.0)?;
    let trainable: Vec<_> = model.parameters.iter().filter(|parameter| parameter.spec.trainable).collect();
    let weights: Vec<ValueId> = trainable.iter().map(|parameter| train.state(&layout, parameter.value)).collect();
    let one = train.fill([], 1.0);
    let gradients = train.backward(&[(loss, one)], &weights)?;
    [logits, loss].into_iter().chain(gradients.iter().copied().flatten()).for_each(|id| train.keep(id));
    let train = Plan::on(processor, &train, &layout)?;

    let mut state = layout.allocate_on(processor)?;
    batch.set(&mut state, &input.values, &labels);
    set_parameters(case, &model, "param", &mut state)?;
    let mut arena = Arena::on(processor, eval.bytes().max(train.bytes()))?;
    let mut answers = Answers::new();
    let shape = [count, classes];

    eval.run(&mut arena, &mut state)?;
    let found = eval.read_f64(&arena, &state, eval_logits)?;
    answers.insert("expect/eval/logits".into(), CaseTensor::new(&shape, found));

    train.run(&mut arena, &mut state)?;
    let found = train.read_f64(&arena, &state, logits)?;
    answers.insert("expect/train/logits".into(), CaseTensor::new(&shape, found));
    let found = train.read_f64(&arena, &state, loss)?;
    answers.insert("expect/train/loss".into(), CaseTensor::scalar(found[0]));
    for (parameter, gradient) in trainable.iter().zip(gradients) {
        let Some(gradient) = gradient else { continue };
        let (name, shape) = (&parameter.spec.name, &parameter.spec.shape);
        let gradient = to_pytorch(shape, &train.read_f64(&arena, &state, gradient)?);
        let norm = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
        answers.insert(format!("expect/train/grad_norm/{name}"), CaseTensor::scalar(norm));
        answers.insert(format!("expect/train/grad/{name}"), CaseTensor::new(shape, gradient));
    }
    state.fetch_all()?;
    for buffer in model.parameters.iter().filter(|parameter| !parameter.spec.trainable) {
        let name = format!("expect/train/buffer/{}", buffer.spec.name);
        answers.insert(name, CaseTensor::new(&buffer.spec.shape, model.read(&state, buffer)));
    }
    Ok(answers)
}
