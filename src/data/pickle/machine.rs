//! The stack machine that a pickle is a program for.

use std::collections::HashMap;

use super::{Array, Global, Id, MOST_VALUES, Value};
use crate::data::stream::ByteStream;
use crate::{Error, Result};

/// The stack machine.
pub(super) struct Machine<'a> {
    pub(super) stream: ByteStream<'a>,
    /// Every object that was made.
    pub(super) values: Vec<Value>,
    /// Where in the file each was.
    pub(super) places: Vec<u64>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
    /// Byte of the opcode at work.
    start: u64,
}

impl<'a> Machine<'a> {
    /// At the beginning of the program.
    pub(super) fn new(stream: ByteStream<'a>) -> Self {
        let (values, places) = (Vec::new(), Vec::new());
        Self { stream, values, places, stack: Vec::new(), marks: Vec::new(), memo: HashMap::new(), start: 0 }
    }

    fn error(&self, message: impl std::fmt::Display) -> Error {
        self.stream.error_at(self.start, message)
    }

    /// Little-endian number of `bytes` bytes.
    fn number(&mut self, bytes: usize) -> Result<u64> {
        let mut buffer = [0; 8];
        self.stream.read_exact(&mut buffer[..bytes], "an argument of the pickle")?;
        Ok(u64::from_le_bytes(buffer))
    }

    fn text(&mut self, length_bytes: usize) -> Result<Value> {
        let length = self.number(length_bytes)?;
        Ok(Value::Text(self.stream.read_declared(length, "a string of the pickle")?))
    }

    fn push(&mut self, value: Value) -> Result<()> {
        if self.values.len() >= MOST_VALUES {
            return Err(self.error(format!("the pickle holds more than {MOST_VALUES} objects")));
        }
        self.values.push(value);
        self.places.push(self.start);
        self.stack.push(self.values.len() - 1);
        Ok(())
    }

    fn pop(&mut self) -> Result<Id> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err(self.error("the pickle takes more from its stack than there is"));
        }
        self.stack.pop().ok_or_else(|| self.error("the pickle's stack is empty"))
    }

    fn top(&mut self) -> Result<Id> {
        let id = self.pop()?;
        self.stack.push(id);
        Ok(id)
    }

    fn since_mark(&mut self) -> Result<Vec<Id>> {
        let mark = self.marks.pop().ok_or_else(|| self.error("the pickle has no mark here"))?;
        Ok(self.stack.split_off(mark))
    }

    fn pop_tuple(&mut self, length: usize) -> Result<()> {
        let mut items = Vec::with_capacity(length);
        for _ in 0..length {
            items.push(self.pop()?);
        }
        items.reverse();
        self.push(Value::Tuple(items))
    }

    fn append(&mut self, items: Vec<Id>) -> Result<()> {
        let list = self.top()?;
        match &mut self.values[list] {
            Value::List(list) => list.extend(items),
            _ => return Err(self.error("the pickle appends to something that is not a list")),
        }
        Ok(())
    }

    fn set_items(&mut self, items: &[Id]) -> Result<()> {
        let dictionary = self.top()?;
        match &mut self.values[dictionary] {
            Value::Dictionary(entries) if items.len().is_multiple_of(2) => {
                entries.extend(items.chunks_exact(2).map(|pair| (pair[0], pair[1])));
            }
            _ => return Err(self.error("the pickle sets items of something that is not a dictionary")),
        }
        Ok(())
    }

    fn remember(&mut self, key: u32) -> Result<()> {
        let id = self.top()?;
        self.memo.insert(key, id);
        Ok(())
    }

    fn recall(&mut self, key: u32) -> Result<()> {
        let id =
            *self.memo.get(&key).ok_or_else(|| self.error(format!("the pickle recalls {key}, which it never kept")))?;
        self.stack.push(id);
        Ok(())
    }

    /// Runs the program to its end: what it leaves on the stack.
    pub(super) fn run(&mut self) -> Result<Id> {
        loop {
            self.start = self.stream.position();
            let opcode = self.stream.byte("a pickle opcode")?;
            match opcode {
                0x80 => match self.number(1)? {
                    2..=5 => {}
                    protocol => return Err(self.error(format!("pickle protocol {protocol}; expected 2 to 5"))),
                },
                // FRAME: its length says nothing new.
                0x95 => self.number(8).map(|_| ())?,
                b'.' => {
                    let root = self.pop()?;
                    if !self.stack.is_empty() || !self.marks.is_empty() {
                        return Err(self.error("the pickle ends with more than one object"));
                    }
                    return Ok(root);
                }
                b'(' => self.marks.push(self.stack.len()),
                b'N' => self.push(Value::None)?,
                0x88 | 0x89 => self.push(Value::Bool(opcode == 0x88))?,
                b'K' => self.unsigned(1)?,
                b'M' => self.unsigned(2)?,
                b'J' => {
                    let number = self.number(4)? as u32 as i32;
                    self.push(Value::Integer(i64::from(number)))?;
                }
                0x8a => self.long()?,
                b'U' | b'C' | 0x8c => self.push_text(1)?,
                b'T' | b'B' | b'X' => self.push_text(4)?,
                0x8d | 0x8e | 0x96 => self.push_text(8)?,
                b']' => self.push(Value::List(Vec::new()))?,
                b'}' => self.push(Value::Dictionary(Vec::new()))?,
                b')' => self.push(Value::Tuple(Vec::new()))?,
                b't' => {
                    let items = self.since_mark()?;
                    self.push(Value::Tuple(items))?;
                }
                0x85..=0x87 => self.pop_tuple(usize::from(opcode - 0x84))?,
                b'a' => {
                    let item = self.pop()?;
                    self.append(vec![item])?;
                }
                b'e' => {
                    let items = self.since_mark()?;
                    self.append(items)?;
                }
                b's' => {
                    let (value, key) = (self.pop()?, self.pop()?);
                    self.set_items(&[key, value])?;
                }
                b'u' => {
                    let items = self.since_mark()?;
                    self.set_items(&items)?;
                }
                b'q' => {
                    let key = self.number(1)?;
                    self.remember(key as u32)?;
                }
                b'r' => {
                    let key = self.number(4)?;
                    self.remember(key as u32)?;
                }
                0x94 => self.remember(self.memo.len() as u32)?,
                b'h' => {
                    let key = self.number(1)?;
                    self.recall(key as u32)?;
                }
                b'j' => {
                    let key = self.number(4)?;
                    self.recall(key as u32)?;
                }
                b'c' => {
                    let (module, name) = (self.line()?, self.line()?);
                    self.global(&module, &name)?;
                }
                0x93 => {
                    let (name, module) = (self.pop()?, self.pop()?);
                    let text = |id: Id| match &self.values[id] {
                        Value::Text(text) => String::from_utf8_lossy(text).into_owned(),
                        _ => String::new(),
                    };
                    let (module, name) = (text(module), text(name));
                    self.global(&module, &name)?;
                }
                b'R' => self.reduce()?,
                b'b' => self.build()?,
                _ => {
                    let message = format!("pickle opcode 0x{opcode:02x} is none that a CIFAR file holds");
                    return Err(self.error(message).help("nothing in the file was executed"));
                }
            }
        }
    }

    fn unsigned(&mut self, bytes: usize) -> Result<()> {
        let number = self.number(bytes)?;
        self.push(Value::Integer(number as i64))
    }

    /// LONG1: two's complement of as many bytes as the first byte says.
    fn long(&mut self) -> Result<()> {
        let bytes = self.number(1)? as usize;
        if bytes > 8 {
            return Err(self.error("the pickle holds an integer of more than 64 bits"));
        }
        let unused = 64 - 8 * bytes as u32;
        let number = self.number(bytes)?;
        self.push(Value::Integer(if bytes == 0 { 0 } else { ((number << unused) as i64) >> unused }))
    }

    fn push_text(&mut self, length_bytes: usize) -> Result<()> {
        let text = self.text(length_bytes)?;
        self.push(text)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = Vec::new();
        loop {
            match self.stream.byte("a name in the pickle")? {
                b'\n' => return Ok(String::from_utf8_lossy(&line).into_owned()),
                _ if line.len() == 256 => return Err(self.error("a name in the pickle is too long")),
                byte => line.push(byte),
            }
        }
    }

    fn global(&mut self, module: &str, name: &str) -> Result<()> {
        let global = match (module, name) {
            ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct") => Global::Reconstruct,
            ("numpy.core.numeric" | "numpy._core.numeric", "_frombuffer") => Global::FromBuffer,
            ("numpy", "ndarray") => Global::NdArray,
            ("numpy", "dtype") => Global::Dtype,
            ("_codecs", "encode") => Global::Encode,
            _ => {
                return Err(self
                    .error(format!("the pickle asks for `{module}.{name}`, which no CIFAR file needs"))
                    .help("nothing in the file was executed; do not open it elsewhere either"));
            }
        };
        self.push(Value::Global(global))
    }

    /// What calling a global would make.
    fn reduce(&mut self) -> Result<()> {
        let (arguments, callable) = (self.pop()?, self.pop()?);
        let Value::Tuple(arguments) = &self.values[arguments] else {
            return Err(self.error("the pickle's arguments are not a tuple"));
        };
        let arguments = arguments.clone();
        let text = |index: usize| match arguments.get(index).map(|id| &self.values[*id]) {
            Some(Value::Text(text)) => Some(text.as_slice()),
            _ => None,
        };
        let made = match self.values[callable] {
            Value::Global(Global::Encode) if text(1) == Some(b"latin1") => {
                let decoded = text(0).and_then(|text| std::str::from_utf8(text).ok());
                decoded
                    .and_then(|text| text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect())
                    .map(Value::Text)
            }
            Value::Global(Global::Reconstruct) => Some(Value::Array(None)),
            Value::Global(Global::Dtype) => match text(0) {
                Some(b"u1" | b"|u1") => Some(Value::ByteType),
                other => {
                    let other = String::from_utf8_lossy(other.unwrap_or(b"?")).into_owned();
                    return Err(self.error(format!("an array of type `{other}`; expected bytes (`u1`)")));
                }
            },
            Value::Global(Global::FromBuffer) if arguments.len() == 4 => {
                let column_major = text(3) == Some(b"F");
                let array = self.array(arguments[2], arguments[1], column_major, arguments[0])?;
                Some(Value::Array(Some(array)))
            }
            _ => None,
        };
        match made {
            Some(made) => self.push(made),
            None => Err(self.error("the pickle makes an object that no CIFAR file holds")),
        }
    }

    /// Gives an array its content; an element type needs none.
    fn build(&mut self) -> Result<()> {
        let (state, object) = (self.pop()?, self.top()?);
        match (&self.values[object], &self.values[state]) {
            (Value::ByteType, _) => Ok(()),
            (Value::Array(None), Value::Tuple(state)) if state.len() == 5 => {
                let (shape, element, order, bytes) = (state[1], state[2], state[3], state[4]);
                let column_major = matches!(self.values[order], Value::Integer(1) | Value::Bool(true));
                let array = self.array(shape, element, column_major, bytes)?;
                self.values[object] = Value::Array(Some(array));
                Ok(())
            }
            _ => Err(self.error("the pickle fills an object that no CIFAR file holds")),
        }
    }

    fn array(&mut self, shape: Id, element: Id, column_major: bool, bytes: Id) -> Result<Array> {
        let extent = |id: &Id| match self.values[*id] {
            Value::Integer(extent) => usize::try_from(extent).ok(),
            _ => None,
        };
        let shape: Option<Vec<usize>> = match &self.values[shape] {
            Value::Tuple(shape) => shape.iter().map(extent).collect(),
            _ => None,
        };
        let Some([rows, columns]) = shape.as_deref().and_then(|shape| <[usize; 2]>::try_from(shape).ok()) else {
            return Err(self.error("the array has not two dimensions"));
        };
        if !matches!(self.values[element], Value::ByteType) {
            return Err(self.error("the array has no element type"));
        }
        let Value::Text(bytes) = &mut self.values[bytes] else {
            return Err(self.error("the array has no bytes"));
        };
        let bytes = std::mem::take(bytes);
        if rows.checked_mul(columns) != Some(bytes.len()) {
            let message = format!("the array declares {rows} x {columns} bytes, but holds {}", bytes.len());
            return Err(self.error(message));
        }
        Ok(Array { rows, columns, column_major, bytes })
    }
}
