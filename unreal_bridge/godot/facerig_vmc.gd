# Receives a face over VMC (OSC over UDP) and sets the blend shapes of the meshes around it, by name. Godot 3.
#
# Add it as a child of the model, set `port`, and send with: facerig live mic --to vmc://127.0.0.1?names=arkit
# Signal `applied` brings every complete frame, for models whose shapes need more than their names.
extends Node

signal applied(weights)

export var port = 39539
export var address = "127.0.0.1"

var weights = {}
var turns = {}  # bone name -> Quat, as sent (Unity's axes)
var bad = 0  # packets that could not be read

var _socket = PacketPeerUDP.new()
var _pending = {}


func _ready():
	listen()


func listen():
	return _socket.listen(port, address)


func _process(_delta):
	poll()


# Everything that has arrived; a frame counts once its Apply is there.
func poll():
	while _socket.get_available_packet_count() > 0:
		var data = _socket.get_packet()
		if not _read(data, 0, data.size()):
			bad += 1


func close():
	_socket.close()


func _apply():
	for name in _pending:
		weights[name] = _pending[name]
	_pending = {}
	emit_signal("applied", weights)
	if get_parent() != null:
		_show(get_parent())


func _show(node):
	if node is MeshInstance and node.mesh is ArrayMesh:
		for index in range(node.mesh.get_blend_shape_count()):
			var name = node.mesh.get_blend_shape_name(index)
			if weights.has(name):
				node.set("blend_shapes/" + name, weights[name])
	for child in node.get_children():
		_show(child)


# ---- OSC ----------------------------------------------------------------------------------------------------------


func _read(data, start, end):
	if end - start >= 16 and _text(data, start, end) == "#bundle":
		var at = start + 16
		while at + 4 <= end:
			var size = _int(data, at)
			at += 4
			if size < 0 or at + size > end or not _read(data, at, at + size):
				return false
			at += size
		return true
	return _message(data, start, end)


func _message(data, start, end):
	var address_text = _text(data, start, end)
	if address_text == null or not address_text.begins_with("/"):
		return false
	var at = start + _padded(address_text)
	var tags = _text(data, at, end)
	if tags == null:
		return false
	at += _padded(tags)
	var arguments = []
	for tag in tags.substr(1):
		if tag == "s":
			var text = _text(data, at, end)
			if text == null:
				return false
			arguments.append(text)
			at += _padded(text)
		elif tag == "f" or tag == "i":
			if at + 4 > end:
				return false
			arguments.append(_float(data, at) if tag == "f" else _int(data, at))
			at += 4
		else:
			return true  # an argument of another type: not a message for us
	_handle(address_text, tags, arguments)
	return true


func _handle(address_text, tags, arguments):
	if address_text == "/VMC/Ext/Blend/Val" and tags == ",sf":
		_pending[arguments[0]] = arguments[1]
	elif address_text == "/VMC/Ext/Blend/Apply":
		_apply()
	elif address_text == "/VMC/Ext/Bone/Pos" and tags == ",sfffffff":
		turns[arguments[0]] = Quat(arguments[4], arguments[5], arguments[6], arguments[7])


func _text(data, start, end):
	for at in range(start, end):
		if data[at] == 0:
			return data.subarray(start, at - 1).get_string_from_utf8() if at > start else ""
	return null


func _padded(text):
	var size = text.to_utf8().size()
	return size + 4 - size % 4


func _int(data, at):
	var value = (data[at] << 24) | (data[at + 1] << 16) | (data[at + 2] << 8) | data[at + 3]
	return value - 4294967296 if value > 2147483647 else value


func _float(data, at):
	var buffer = StreamPeerBuffer.new()
	buffer.big_endian = true
	buffer.data_array = data.subarray(at, at + 3)
	return buffer.get_float()
