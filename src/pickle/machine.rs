//! The stack machine that a pickle is a program for.

use std::collections::HashMap;

use super::{Id, Made, Name, Pickle, Value};
use crate::stream::ByteStream;
use crate::{Error, Result};

/// More objects than any file that we read has (CIFAR-100 has some 200,000).
const MOST_VALUES: usize = 1 << 23;

impl Pickle {
    /// Reads one pickle; others may follow it in the stream.
    ///
    /// # Errors
    /// With the byte, where the program is none that this reader knows.
    pub fn read(stream: &mut ByteStream<'_>) -> Result<Self> {
        let mut machine = Machine {
            stream,
            values: Vec::new(),
            places: Vec::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
            start: 0,
        };
        let root = machine.run()?;
        let Machine { values, places, .. } = machine;
        Ok(Self { name: stream.name().to_string(), values, places, root })
    }
}

/// The stack machine.
struct Machine<'a, 'b> {
    stream: &'a mut ByteStream<'b>,
    /// Every object that was made.
    values: Vec<Value>,
    /// Where in the file each was.
    places: Vec<u64>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
    /// Byte of the opcode at work.
    start: u64,
}

impl Machine<'_, '_> {
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
            // Of a class that nobody knows.
            Value::Made(_) => {}
            _ => return Err(self.error("the pickle appends to something that is not a list")),
        }
        Ok(())
    }

    fn set_items(&mut self, items: &[Id]) -> Result<()> {
        let dictionary = self.top()?;
        match &mut self.values[dictionary] {
            Value::Dictionary(entries) | Value::Made(Made { items: entries, .. }) if items.len().is_multiple_of(2) => {
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
    fn run(&mut self) -> Result<Id> {
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
                b'G' => {
                    // Big-endian, unlike everything else.
                    let number = f64::from_bits(self.number(8)?.swap_bytes());
                    self.push(Value::Number(number))?;
                }
                0x8a => self.long()?,
                b'U' | b'C' | 0x8c => self.push_text(1)?,
                b'T' | b'B' | b'X' => self.push_text(4)?,
                0x8d | 0x8e | 0x96 => self.push_text(8)?,
                b']' | 0x8f => self.push(Value::List(Vec::new()))?,
                b'}' => self.push(Value::Dictionary(Vec::new()))?,
                b')' => self.push(Value::Tuple(Vec::new()))?,
                b't' => {
                    let items = self.since_mark()?;
                    self.push(Value::Tuple(items))?;
                }
                0x91 => {
                    let items = self.since_mark()?;
                    self.push(Value::List(items))?;
                }
                0x85..=0x87 => self.pop_tuple(usize::from(opcode - 0x84))?,
                b'a' => {
                    let item = self.pop()?;
                    self.append(vec![item])?;
                }
                b'e' | 0x90 => {
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
                    self.push(Value::Global(Name { module, name }))?;
                }
                0x93 => {
                    let (name, module) = (self.pop()?, self.pop()?);
                    let text = |id: Id| match &self.values[id] {
                        Value::Text(text) => String::from_utf8_lossy(text).into_owned(),
                        _ => String::new(),
                    };
                    let (module, name) = (text(module), text(name));
                    self.push(Value::Global(Name { module, name }))?;
                }
                b'R' | 0x81 => {
                    let arguments = self.pop()?;
                    self.make(arguments)?;
                }
                0x92 => {
                    // Arguments by name lie on top; they say nothing that is asked for.
                    let (_, arguments) = (self.pop()?, self.pop()?);
                    self.make(arguments)?;
                }
                b'b' => {
                    let (state, object) = (self.pop()?, self.top()?);
                    match &mut self.values[object] {
                        Value::Made(made) => made.state = Some(state),
                        _ => return Err(self.error("the pickle sets attributes of something that has none")),
                    }
                }
                b'Q' => {
                    let id = self.pop()?;
                    self.push(Value::Persistent(id))?;
                }
                b'0' => self.pop().map(drop)?,
                b'2' => {
                    let id = self.top()?;
                    self.stack.push(id);
                }
                _ => {
                    let message = format!("0x{opcode:02x} is no pickle opcode that this reader knows");
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
            let number = self.stream.read_declared(bytes as u64, "an integer of the pickle")?;
            return self.push(Value::Large(number));
        }
        let unused = 64 - 8 * bytes as u32;
        let number = self.number(bytes)?;
        self.push(Value::Integer(if bytes == 0 { 0 } else { ((number << unused) as i64) >> unused }))
    }

    /// What calling the object on top of the stack would make: written down, not called.
    fn make(&mut self, arguments: Id) -> Result<()> {
        let by = self.pop()?;
        let Value::Tuple(arguments) = &self.values[arguments] else {
            return Err(self.error("the pickle's arguments are not a tuple"));
        };
        let arguments = arguments.clone();
        self.push(Value::Made(Made { by, arguments, items: Vec::new(), state: None }))
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
}
